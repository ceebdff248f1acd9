#include <zlib.h>

#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string big_endian(uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

// `count` images of 2 x 3 pixels; image i holds 10 i, 10 i + 1, ...
std::string images_file(int count) {
  std::string bytes =
      std::string("\0\0\x08\x03", 4) + big_endian(uint32_t(count)) + big_endian(2) + big_endian(3);
  for (int i = 0; i < count; ++i)
    for (int pixel = 0; pixel < 6; ++pixel) bytes += char(10 * i + pixel);
  return bytes;
}

std::string labels_file(const std::string& labels) {
  return std::string("\0\0\x08\x01", 4) + big_endian(uint32_t(labels.size())) + labels;
}

std::string gzipped(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = uInt(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class Idx : public Folder {
 protected:
  SourceConfig config(const std::string& below = "") const {
    SourceConfig result;
    result.name = "digits";
    result.type = "idx";
    result.path = folder_ / below;
    return result;
  }
  void pair(const std::string& set, const std::string& labels) const {
    write(set + "-images-idx3-ubyte", images_file(int(labels.size())));
    write(set + "-labels-idx1-ubyte", labels_file(labels));
  }
};

TEST_F(Idx, ReadsPlainFilesAndSpreadsGray) {
  pair("train", std::string("\3\0\11", 3));
  const auto dataset = open_dataset(config());
  ASSERT_EQ(dataset->size(), 3);
  const Row sample = dataset->row(2);
  const Image image = dataset->image(2);
  EXPECT_EQ(sample.key, "2");
  EXPECT_EQ(sample.label, 9);
  EXPECT_EQ(dataset->caption(2), "9");
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 3);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(image.at(0, 0)[c], 20);
    EXPECT_EQ(image.at(1, 2)[c], 25);
  }
  EXPECT_EQ(dataset->label(0), 3);
  EXPECT_EQ(dataset->caption(1), "0");
  EXPECT_THAT(dataset->class_names(), ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
  EXPECT_THROW(dataset->image(3), InternalError);
}

TEST_F(Idx, PrefersTheTrainPairAndReadsGzip) {
  pair("t10k", std::string("\1", 1));
  write("train-images-idx3-ubyte.gz", gzipped(images_file(2)));
  write("train-labels-idx1-ubyte.gz", gzipped(labels_file("\1\2")));
  EXPECT_EQ(open_dataset(config())->size(), 2);
  std::filesystem::remove(folder_ / "train-labels-idx1-ubyte.gz");
  EXPECT_EQ(open_dataset(config())->size(), 1);
}

TEST_F(Idx, NamesClothesInAFashionFolder) {
  pair("fashion-mnist/train", std::string("\11\0", 2));
  pair("FashionMNIST/raw/train", std::string("\1", 1));
  pair("fashion/mnist/train", std::string("\1", 1));
  const auto dataset = open_dataset(config("fashion-mnist/"));
  EXPECT_EQ(dataset->caption(0), "Ankle boot");
  EXPECT_EQ(dataset->caption(1), "T-shirt/top");
  EXPECT_EQ(dataset->class_names().size(), 10u);
  EXPECT_EQ(open_dataset(config("FashionMNIST/raw"))->caption(0), "Trouser");
  EXPECT_EQ(open_dataset(config("fashion/mnist"))->caption(0), "1");
}

TEST_F(Idx, MoreThanTenClassesAreNumbered) {
  pair("letters", std::string("\1\32", 2));
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->class_names().size(), 27u);
  EXPECT_EQ(dataset->caption(1), "26");
}

TEST_F(Idx, MaxSamplesAndContentChangeTheFingerprint) {
  pair("train", "\1\2\3");
  auto two = config();
  two.max_samples = 2;
  EXPECT_EQ(open_dataset(two)->size(), 2);
  const std::string whole = open_dataset(config())->fingerprint();
  EXPECT_EQ(open_dataset(config())->fingerprint(), whole);
  EXPECT_NE(open_dataset(two)->fingerprint(), whole);
  pair("train", "\1\2\4");
  EXPECT_NE(open_dataset(config())->fingerprint(), whole);
}

TEST_F(Idx, DamagedFilesAreRefused) {
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("source digits"), HasSubstr("train-images-idx3-ubyte")));
  const std::string images = "train-images-idx3-ubyte", good = images_file(2);
  pair("train", "\1\2");
  write(images, good.substr(0, good.size() - 1));
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr(images), HasSubstr("announces 12 values, but it holds 11")));
  write(images, good + "x");
  EXPECT_THAT(refusal(config()), HasSubstr("more than 12"));
  write(images, good.substr(0, 9));
  EXPECT_THAT(refusal(config()), HasSubstr("not an IDX file"));
  write(images, labels_file("\1\2"));
  EXPECT_THAT(refusal(config()), HasSubstr("not an IDX file of bytes with 3 dimension(s)"));
  write(images, std::string("\0\0\x0D\x03", 4) + good.substr(4));  // floats
  EXPECT_THAT(refusal(config()), HasSubstr("not an IDX file of bytes"));
  write(images, good.substr(0, 4) + std::string(12, '\xFF') + good.substr(16));
  EXPECT_THAT(refusal(config()), HasSubstr("4 GiB"));
  write(images, images_file(3));
  EXPECT_THAT(refusal(config()), HasSubstr("3 images but 2 labels"));
  pair("train", "");
  EXPECT_THAT(refusal(config()), HasSubstr("no images"));
}

TEST_F(Idx, CutGzipIsRefused) {
  const std::string whole = gzipped(images_file(200));
  write("train-images-idx3-ubyte.gz", whole.substr(0, whole.size() / 2));
  write("train-labels-idx1-ubyte", labels_file(std::string(200, '\1')));
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("train-images-idx3-ubyte.gz"), HasSubstr("damaged")));
}

}  // namespace
}  // namespace pixart::data
