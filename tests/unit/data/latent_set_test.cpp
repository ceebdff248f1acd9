#include "pixart/data/latent_set.h"

#include "feature_damage.h"
#include "folder.h"
#include "pixart/formats/tensor_file.h"
#include "plain_data.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using pixart::testing::kPlainChannels;
using pixart::testing::plain_latent_work;
using pixart::testing::plain_moments;
using pixart::testing::PlainDataset;
using pixart::testing::PlainLatents;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LatentSetTest : public Folder {
 protected:
  LatentSetTest() : dataset_(10) {
    dataset_.reject(1, Reason::kEmptyFile);
    dataset_.reject(5, Reason::kMissingCaption);  // has latents all the same
    dataset_.damaged = {4, 9};
  }
  void make(const PlainLatents& options = {}) {
    make_feature_set(plain_latent_work(set(), dataset_, options));
  }
  fs::path set() const { return folder_ / "set"; }
  std::string refused() const {
    try {
      LatentSet{set()};
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  // Rewrites the index with one change.
  void change_index(const std::function<void(formats::TensorFile&)>& change) const {
    auto index = formats::load_safetensors(set() / "index.safetensors");
    change(index);
    index.metadata.erase("format");
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : index.tensors) tensors.push_back({name, tensor});
    formats::save_safetensors(set() / "index.safetensors", tensors, index.metadata);
    pixart::testing::reseal(set());
  }
  static at::Tensor read(const LatentSet& latents, int64_t row, bool mirrored) {
    const auto shape = latents.item(row).latent;
    at::Tensor result = at::empty({2, shape.channels, shape.height, shape.width});
    latents.read(row, mirrored, result[0].data_ptr<float>(), result[1].data_ptr<float>());
    return result;
  }

  PlainDataset dataset_;
};

TEST_F(LatentSetTest, RoundTripOfTwoShapesMirroredAndNot) {
  for (const auto dtype : {at::kHalf, at::kFloat}) {
    for (const int64_t variants : {1, 2}) {
      fs::remove_all(set());
      const auto shape = [](int64_t row) {
        return row % 2 == 0 ? std::pair<int64_t, int64_t>{2, 6} : std::pair<int64_t, int64_t>{3, 4};
      };
      make({.dtype = dtype, .variants = variants, .shape = shape});
      const LatentSet latents(set());
      EXPECT_EQ(latents.has_mirrored(), variants == 2);
      EXPECT_EQ(latents.rows(), 10);
      for (const int64_t row : {0, 2, 3, 5, 6, 7, 8}) {
        const auto [height, width] = shape(row);
        const auto item = latents.item(row);
        EXPECT_EQ(item.latent.channels, kPlainChannels);
        EXPECT_EQ(item.latent.height, height);
        EXPECT_EQ(item.latent.width, width);
        EXPECT_EQ(item.height, 4 + row % 3);
        EXPECT_EQ(item.width, 5);
        EXPECT_EQ(item.bucket, height);
        for (int64_t v = 0; v < variants; ++v) {
          const at::Tensor expected = plain_moments(row, variants, height, width)[v].to(dtype).to(at::kFloat);
          EXPECT_TRUE(at::equal(read(latents, row, v == 1), expected)) << "row " << row << ", variant " << v;
        }
        if (variants == 1) {
          EXPECT_THROW(read(latents, row, true), InternalError);
        }
      }
    }
  }
}

TEST_F(LatentSetTest, RejectedRowsAreOnRecord) {
  make();
  const LatentSet latents(set());
  std::vector<std::string> lines;
  for (const auto& rejection : latents.rejected())
    lines.push_back(fmt::format("{} {} {}", rejection.row, rejection.key, to_string(rejection.reason)));
  EXPECT_THAT(lines, ElementsAre("1 1.png empty_file", "4 4.png damaged_picture", "9 9.png damaged_picture"));
  EXPECT_EQ(latents.manifest().rejected, 3);
  EXPECT_THROW(latents.item(4), InternalError);
  EXPECT_THROW(latents.item(10), InternalError);
  std::ifstream quarantine(set() / "quarantine.jsonl");
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(quarantine), {}, '\n'), 3);
}

TEST_F(LatentSetTest, AShardWithoutAcceptedRowsIsFine) {
  dataset_.damaged = {0, 2, 4};
  make();
  const LatentSet latents(set());
  EXPECT_EQ(latents.rejected().size(), 4);
  EXPECT_TRUE(at::equal(read(latents, 3, false), plain_moments(3, 1, 2, 2)[0].to(at::kHalf).to(at::kFloat)));
}

TEST_F(LatentSetTest, NumbersThatAreNotFiniteAreRefused) {
  for (const double value : {double(NAN), double(INFINITY), 70000.0}) {
    LatentRecord record{.row = 7, .moments = at::full({1, 2, 4, 2, 2}, value)};
    try {
      write_latent_shard(folder_ / "shard", {record}, {}, at::kHalf);
      FAIL() << value;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kNumerics);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("row 7"), HasSubstr("features.latent_dtype")));
    }
    EXPECT_FALSE(fs::exists(folder_ / "shard"));
  }
}

TEST_F(LatentSetTest, AnIndexThatDoesNotFitIsRefused) {
  make();
  const auto good = formats::load_safetensors(set() / "index.safetensors");
  const std::vector<std::pair<std::string, std::function<void(formats::TensorFile&)>>> cases = {
      {"another size", [](auto& f) { f.tensors["shard"] = f.tensors["shard"].narrow(0, 0, 9); }},
      {"another size", [](auto& f) { f.tensors["item"] = f.tensors["item"].narrow(0, 0, 9); }},
      {"no tensor begin", [](auto& f) { f.tensors.erase("begin"); }},
      {"no tensor shard", [](auto& f) { f.tensors["shard"] = f.tensors["shard"].to(at::kLong); }},
      {"no entry rejected", [](auto& f) { f.metadata.erase("rejected"); }},
      {"is damaged (", [](auto& f) { f.metadata["rejected"] = "[["; }},
      {"is damaged (", [](auto& f) { f.metadata["rejected"] = "[[1, 2]]"; }},
      {"unknown reason", [](auto& f) { f.metadata["rejected"] = R"([[1, "a", 0, "moonlight", ""]])"; }},
      {"contradict each other about row 1", [](auto& f) { f.metadata["rejected"] = "[]"; }},
      {"contradict each other about row 0", [](auto& f) { f.tensors["shard"][0] = -1; }},
      {"is damaged at row 2", [](auto& f) { f.tensors["shard"][2] = 4; }},
      {"is damaged at row 3", [](auto& f) { f.tensors["item"][3][1] = 0; }}};
  for (const auto& [what, change] : cases) {
    make_feature_set(plain_latent_work(set(), dataset_));
    change_index(change);
    EXPECT_THAT(refused(), AllOf(HasSubstr(what), ::testing::AnyOf(HasSubstr("index.safetensors"),
                                                                   HasSubstr("newer version"))));
    fs::remove_all(set());
  }
}

TEST_F(LatentSetTest, MissingAndDamagedFilesAreRefused) {
  make();
  const fs::path shard = set() / "shard-00001.safetensors";
  const auto bytes = fs::file_size(shard);
  fs::resize_file(shard, bytes - 1);
  EXPECT_THAT(refused(), HasSubstr("shard-00001.safetensors"));
  fs::remove(shard);
  EXPECT_THAT(refused(), HasSubstr("shard-00001.safetensors: No such file"));
  std::ofstream(shard) << std::string(bytes, 'x');  // the size is right
  const LatentSet latents(set());
  EXPECT_NO_THROW(read(latents, 0, false));
  EXPECT_THROW(read(latents, 3, false), UserError);
  EXPECT_THROW(read(latents, 3, false), UserError);  // again
  EXPECT_NO_THROW(read(latents, 6, false));
  fs::remove(set() / "index.safetensors");
  EXPECT_THAT(refused(), HasSubstr("index.safetensors"));
  fs::remove(set() / "manifest.json");
  EXPECT_THAT(refused(), HasSubstr("manifest.json"));
}

TEST_F(LatentSetTest, AShardThatBecomesShorterOrEndsEarlyIsAStorageError) {
  make();
  const LatentSet latents(set());
  EXPECT_NO_THROW(read(latents, 0, false));
  fs::resize_file(set() / "shard-00000.safetensors", 8);
  try {
    read(latents, 2, false);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("shard-00000.safetensors: the file was shortened"));
  }
  change_index([](auto& f) { f.tensors["begin"][3] = 1000; });
  EXPECT_THROW(read(LatentSet(set()), 3, false), UserError);
}

TEST_F(LatentSetTest, CaptionsAreNoLatents) {
  make_feature_set(pixart::testing::plain_caption_work(set(), dataset_, "bfloat16", 4));
  EXPECT_THAT(refused(), HasSubstr("holds captions, expected latents"));
}

}  // namespace
}  // namespace pixart::data
