#include <algorithm>
#include <nlohmann/json.hpp>

#include "folder.h"
#include "pixart/base/bytes.h"
#include "pixart/data/recognise.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A shard with the columns caption (str), image (png) and label (int); tests/golden has those of the package.
class Mds : public Folder {
 protected:
  static std::string sample(const std::string& caption, const std::string& image, int64_t label) {
    return little_endian(caption.size(), 4) + little_endian(image.size(), 4) + caption + image +
           little_endian(uint64_t(label), 8);
  }
  static std::string shard(const std::vector<std::string>& samples) {
    const std::string about = "{}";
    std::string offsets, content;
    uint64_t at = 4 + 4 * (samples.size() + 1) + about.size();
    for (const auto& one : samples) offsets += little_endian(at, 4), at += one.size(), content += one;
    return little_endian(samples.size(), 4) + offsets + little_endian(at, 4) + about + content;
  }
  static json entry(const std::string& name, int64_t samples, size_t bytes) {
    return {{"version", 2},
            {"format", "mds"},
            {"compression", nullptr},
            {"column_names", {"caption", "image", "label"}},
            {"column_encodings", {"str", "png", "int"}},
            {"column_sizes", {nullptr, nullptr, 8}},
            {"samples", samples},
            {"raw_data", {{"basename", name}, {"bytes", bytes}, {"hashes", json::object()}}},
            {"zip_data", nullptr}};
  }
  void write_index(const std::string& folder, const json& shards) const {
    write(folder + "/index.json", json{{"version", 2}, {"shards", shards}}.dump());
  }
  // m/shard.mds with three samples; returns its bytes.
  std::string write_three() const {
    std::vector<std::string> samples;
    for (int i = 0; i < 3; ++i)
      samples.push_back(sample(fmt::format("c{}", i), formats::encode_png(Image(3, 4, uint8_t(i))), i));
    const std::string bytes = shard(samples);
    write("m/shard.mds", bytes);
    write_index("m", json::array({entry("shard.mds", 3, bytes.size())}));
    return bytes;
  }
  SourceConfig config() const {
    SourceConfig result;
    result.name = "s";
    result.type = "mds";
    result.path = folder_ / "m";
    return result;
  }
};

TEST_F(Mds, ReadsSamplesByPlace) {
  write_three();
  auto c = config();
  c.label_column = "label";
  const auto dataset = open_dataset(c);
  EXPECT_THAT(keys_of(*dataset), ElementsAre("shard.mds#0", "shard.mds#1", "shard.mds#2"));
  EXPECT_EQ(dataset->caption(2), "c2");
  EXPECT_EQ(dataset->label(1), 1);
  EXPECT_EQ(dataset->image(1).rgb[0], 1);
  EXPECT_THAT(dataset->rejected(), IsEmpty());
  EXPECT_EQ(recognised_type(c.path.string()), "mds");
  c.max_samples = 2;
  EXPECT_EQ(open_dataset(c)->size(), 2);
}

TEST_F(Mds, FingerprintIsOfImagesNotOfCaptions) {
  write_three();
  const auto before = open_dataset(config());
  const std::string captions = captions_fingerprint(*before);
  std::vector<std::string> samples;
  for (int i = 0; i < 3; ++i)
    samples.push_back(sample("another caption", formats::encode_png(Image(3, 4, uint8_t(i))), i));
  const std::string bytes = shard(samples);
  write("m/shard.mds", bytes);
  write_index("m", json::array({entry("shard.mds", 3, bytes.size())}));
  const auto after = open_dataset(config());
  EXPECT_EQ(after->fingerprint(), before->fingerprint());
  EXPECT_NE(captions_fingerprint(*after), captions);
  EXPECT_THROW(before->row(0), UserError) << "its places are no longer true";
}

TEST_F(Mds, NamesColumnsThatExist) {
  write_three();
  auto c = config();
  c.captions = {{.name = "captoin", .weight = 1, .column = {}, .from = {}}};
  c.label_column = "image";
  const std::string message = refusal(c);
  EXPECT_THAT(
      message,
      HasSubstr("there is no column 'captoin'; the columns are caption (str), image (png), label (int)"));
  EXPECT_THAT(message, HasSubstr("Did you mean 'caption'?"));
  EXPECT_THAT(message, HasSubstr("label_column: the column 'image' has the encoding png in shard.mds"));
}

TEST_F(Mds, RefusesIndexesThatDoNotFitTheFiles) {
  const std::string bytes = write_three();
  write_index("m", json::array({entry("shard.mds", 3, bytes.size() + 1), entry("gone.mds", 1, 100),
                                entry("../shard.mds", 3, bytes.size())}));
  const std::string message = refusal(config());
  EXPECT_THAT(message, HasSubstr(fmt::format("shard.mds has {} bytes, but its index says {}", bytes.size(),
                                             bytes.size() + 1)));
  EXPECT_THAT(message, HasSubstr("gone.mds: No such file"));
  EXPECT_THAT(message, HasSubstr("shard 2: raw_data.basename '../shard.mds' leads out of the folder"));
  json old = entry("shard.mds", 3, bytes.size());
  old["version"] = 1;
  write_index("m", json::array({old}));
  EXPECT_THAT(refusal(config()), HasSubstr("format mds and version 1; only mds of version 2 is read"));
  json lacking = entry("shard.mds", 3, bytes.size()), torn = lacking;
  lacking["samples"] = -1, torn["column_sizes"].erase(0);
  write_index("m", json::array({lacking, torn}));
  EXPECT_THAT(
      refusal(config()),
      ::testing::AllOf(HasSubstr("shard 0: samples is not a whole number"),
                       HasSubstr("shard 1: column_names, column_encodings and column_sizes are not")));
  write("m/index.json", "[1]");
  EXPECT_THAT(refusal(config()), HasSubstr("it is not an index of MDS shards"));
}

TEST_F(Mds, RefusesSplitsThatNoIndexJoins) {
  const std::string bytes = write_three();
  fs::create_directories(folder_ / "set");
  fs::rename(folder_ / "m", folder_ / "set/train");
  write_three();
  fs::rename(folder_ / "m", folder_ / "set/val");
  auto c = config();
  c.path = folder_ / "set";
  EXPECT_THAT(refusal(c), HasSubstr("several splits (train, val)"));
  write_index("set", json::array({entry("train/shard.mds", 3, bytes.size()),
                                  entry("val/shard.mds", 3, bytes.size())}));
  EXPECT_EQ(open_dataset(c)->size(), 6) << "their index says that all are meant";
}

TEST_F(Mds, FoldersWithoutSamplesOrIndex) {
  write_index("m", json::array());
  EXPECT_THAT(refusal(config()), HasSubstr("no sample was found"));
  write_three();
  fs::remove(folder_ / "m/index.json");
  EXPECT_EQ(recognised_type((folder_ / "m").string()), "mds");
  EXPECT_THAT(refusal(config()), HasSubstr("index.json of MDS shards. It names their columns"));
  write("m/index.json", "{\"version\": 2, ");
  EXPECT_EQ(recognised_type((folder_ / "m").string()), "mds");
  EXPECT_THAT(refusal(config()), HasSubstr("is not an index of MDS shards"));
}

TEST_F(Mds, RejectsSamplesThatLieOutside) {
  std::string bytes = write_three();
  bytes.replace(12, 4, little_endian(bytes.size() + 1, 4));  // the end of sample 1
  write("m/shard.mds", bytes);
  EXPECT_THAT(rejected_of(*open_dataset(config())),
              ElementsAre("shard.mds#1 damaged_archive", "shard.mds#2 damaged_archive"));
  bytes.replace(0, 4, little_endian(4, 4));
  write("m/shard.mds", bytes);
  EXPECT_THAT(refusal(config()), HasSubstr("it has 4 samples, but its index says 3"));
}

// Whatever a byte becomes, samples are read, rejected or refused.
TEST_F(Mds, SurvivesEachDamagedByte) {
  const std::string whole = write_three();
  int64_t num_rejected = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string bytes = whole;
    bytes[at] = char(~bytes[at]);
    write("m/shard.mds", bytes);
    try {
      const auto dataset = open_dataset(config());
      num_rejected += int64_t(dataset->rejected().size());
      for (int64_t i = 0; i < dataset->size(); ++i) dataset->image(i);
    } catch (const BadSample&) {
      ++num_rejected;
    } catch (const UserError&) {
      ++num_rejected;
    }
  }
  EXPECT_GT(num_rejected, 10);
}

}  // namespace
}  // namespace pixart::data
