#include "pixart/data/feature_update.h"

#include <sys/stat.h>

#include <functional>

#include "feature_damage.h"
#include "feature_files.h"
#include "folder.h"
#include "pixart/base/file.h"
#include "pixart/data/latent_set.h"
#include "plain_data.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using pixart::testing::plain_caption_work;
using pixart::testing::plain_features;
using pixart::testing::plain_latent_work;
using pixart::testing::PlainDataset;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kUpdatedChannels = 24;

class FeatureUpdate : public Folder {
 protected:
  FeatureUpdate() : dataset_(10) {}
  fs::path set() const { return folder_ / "set"; }
  // With a fingerprint of the samples, and another input.
  FeatureWork work(const std::string& pictures, const fs::path& folder) const {
    auto result = plain_latent_work(folder, dataset_, {});
    result.manifest.inputs.push_back({.name = "pictures", .value = pictures, .of_samples = true});
    result.shared.lease_seconds = 0.4;
    return result;
  }
  FeatureWork work(const std::string& pictures) const { return work(pictures, set()); }
  void make(const std::string& pictures, const fs::path& folder) const {
    ASSERT_TRUE(make_feature_set(work(pictures, folder)));
  }
  static std::string pictures_of(const fs::path& folder) {
    return read_feature_manifest(folder).inputs.back().value;
  }
  static std::string refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }

  PlainDataset dataset_;
};

TEST_F(FeatureUpdate, KeysFindTheRowsOfSamples) {
  fs::create_directories(set());
  write_row_keys(set(), dataset_);
  const FeatureKeys keys(set());
  for (int64_t row = 0; row < dataset_.size(); ++row)
    EXPECT_EQ(keys.find(feature_key(dataset_.row(row).key)), row);
  EXPECT_EQ(keys.find(feature_key("another")), std::nullopt);
  EXPECT_NE(feature_key("a"), feature_key("b"));
}

TEST_F(FeatureUpdate, KeysFindTheCaptionsOfTexts) {
  dataset_.rows[0].captions = {{"short", "a dog"}, {"long", "a dog on a lawn"}};
  dataset_.rows[1].captions = {};                                           // missing_caption: empty
  dataset_.rows[2].captions = {}, dataset_.rows[2].caption_file = "2.npz";  // features of the source itself
  const auto captions = find_distinct_captions(dataset_);
  fs::create_directories(set());
  write_caption_keys(set(), dataset_, captions);
  const FeatureKeys keys(set());
  EXPECT_EQ(keys.find(feature_key("a dog")), 0);
  EXPECT_EQ(keys.find(feature_key("a dog on a lawn")), 1);
  EXPECT_EQ(keys.find(feature_key("")), 2);
  EXPECT_EQ(keys.find({0, 0}), std::nullopt) << "what is in a file may have changed";
}

TEST_F(FeatureUpdate, WithoutKeysNothingIsFound) {
  fs::create_directories(set());
  for (const char* bytes : {"", "no keys"}) {
    if (*bytes != 0) write("set/keys.safetensors", bytes);
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(FeatureKeys(set()).find(feature_key(dataset_.row(0).key)), std::nullopt);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("keys.safetensors cannot be used"));
  }
}

TEST_F(FeatureUpdate, OnlyOtherSamplesMakeASetOutdated) {
  EXPECT_FALSE(is_outdated(work("old"))) << "there is none";
  make("old", set());
  EXPECT_FALSE(is_outdated(work("old")));
  EXPECT_TRUE(is_outdated(work("new")));
  auto former = work("new");
  former.manifest.inputs.back().former = "old";
  EXPECT_FALSE(is_outdated(former)) << "an earlier version's name of the same";
  auto other = work("new");
  other.manifest.inputs.front().value = "float64";
  EXPECT_THAT(refusal([&] { is_outdated(other); }), AllOf(HasSubstr("dtype: "), Not(HasSubstr("pictures"))));
  other.manifest.inputs.front().former = "float32";  // compared in part only
  EXPECT_THAT(refusal([&] { is_outdated(other); }), HasSubstr("dtype: "));
}

TEST_F(FeatureUpdate, TheNewSetTakesThePlaceAndTheFormerOneStays) {
  make("old", set());
  make("new", update_folder(set()));
  finish_update(work("new"));
  EXPECT_EQ(pictures_of(set()), "new");
  EXPECT_EQ(pictures_of(former_folder(set())), "old");
  EXPECT_FALSE(fs::exists(update_folder(set())));
  finish_update(work("new"));  // as a second process does
  EXPECT_EQ(pictures_of(set()), "new");

  make("newer", update_folder(set()));
  finish_update(work("newer"));
  EXPECT_EQ(pictures_of(set()), "newer");
  EXPECT_EQ(pictures_of(former_folder(set())), "new");

  make("newer", update_folder(set()));  // by a process that had not seen this
  finish_update(work("newer"));
  EXPECT_FALSE(fs::exists(update_folder(set())));
  EXPECT_EQ(pictures_of(former_folder(set())), "new");
}

TEST_F(FeatureUpdate, FilesOfOthersInTheFormerSetAreNotDeleted) {
  make("oldest", former_folder(set()));
  write("set.former/thesis.tex", "thesis");
  make("old", set());
  make("new", update_folder(set()));
  EXPECT_THAT(refusal([&] { finish_update(work("new")); }), HasSubstr("thesis.tex"));
  EXPECT_EQ(pictures_of(set()), "old");
  EXPECT_TRUE(fs::exists(folder_ / "set.former/thesis.tex"));
}

TEST_F(FeatureUpdate, AKillBetweenTheRenamesIsMadeGood) {
  make("old", former_folder(set()));
  make("new", update_folder(set()));
  write(".set.lock", "00000000000000000005\n4711 -1 elsewhere 0123456789abcdef\n");
  recover_update(set(), work("new").shared);
  EXPECT_EQ(pictures_of(set()), "new");
  EXPECT_FALSE(fs::exists(folder_ / ".set.lock"));
  fs::rename(set(), update_folder(set()));
  finish_update(work("new"));  // by another process that was as far
  EXPECT_EQ(pictures_of(set()), "new");
  make("old", update_folder(set()));  // unfinished business of nobody
  recover_update(set(), {});
  EXPECT_EQ(pictures_of(set()), "new");
}

TEST_F(FeatureUpdate, ARunGoesOnWithTheSetThatItBeganWith) {
  make("old", set());
  const LatentSet latents(set());
  const auto read = [](const LatentSet& from, int64_t row) {
    const auto shape = from.item(row).latent;
    at::Tensor result = at::empty({2, shape.channels, shape.height, shape.width});
    from.read(row, false, result[0].data_ptr<float>(), result[1].data_ptr<float>());
    return result;
  };
  std::vector<at::Tensor> before;
  for (int64_t row = 0; row < latents.rows(); ++row) before.push_back(read(LatentSet(set()), row));
  read(latents, 0);  // opens the first shard only
  auto other = work("new", update_folder(set()));
  other.compute_shard = [compute = other.compute_shard](int64_t first, int64_t last) {
    return compute(9 - (last - 1), 9 - first + 1);  // the samples in another order
  };
  other.items_per_shard = 5;
  ASSERT_TRUE(make_feature_set(other));
  finish_update(work("new"));
  for (int64_t row = 0; row < latents.rows(); ++row)
    EXPECT_TRUE(at::equal(read(latents, row), before[size_t(row)])) << row;
}

ino_t inode_of(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
  return status.st_ino;
}

TEST_F(FeatureUpdate, UnchangedShardsAreLinksToUndamagedOnes) {
  make("old", set());
  const auto shard = [](const fs::path& folder, int number) {
    return folder / fmt::format("shard-{:05d}.safetensors", number);
  };
  const auto good = read_file(shard(set(), 1));
  pixart::testing::flip_bit(shard(set(), 1), fs::file_size(shard(set(), 1)) - 1);
  dataset_.rows.push_back(dataset_.rows.back());
  make_feature_set(with_links_to(work("new", update_folder(set())), set()));
  EXPECT_EQ(inode_of(shard(update_folder(set()), 0)), inode_of(shard(set(), 0)));
  EXPECT_NE(inode_of(shard(update_folder(set()), 1)), inode_of(shard(set(), 1)));
  EXPECT_EQ(read_file(shard(update_folder(set()), 1)), good);
  const auto problems = check_feature_set(update_folder(set()), [](uint64_t) {}).problems;
  EXPECT_TRUE(problems.empty()) << problems.front();
}

// Of each type, also of fp8, which is not converted back and forth.
TEST_F(FeatureUpdate, StoredCaptionsAreWrittenAgainToTheByte) {
  for (const std::string dtype : {"float32", "bfloat16", "float8_e4m3fn"}) {
    const fs::path folder = folder_ / dtype, file = folder_ / (dtype + ".safetensors");
    ASSERT_TRUE(make_feature_set(plain_caption_work(folder, dataset_, dtype, kUpdatedChannels, 10)));
    const CaptionSet captions(folder);
    std::vector<at::Tensor> features(static_cast<size_t>(captions.num_distinct()));
    std::map<size_t, CaptionRecord> records;
    for (size_t id = 0; id < features.size(); ++id) {
      if (id % 3 == 0)  // next to new ones
        features[id] = plain_features(dataset_.row(int64_t(id)).captions.at(0).text, kUpdatedChannels);
      else
        records[id] = captions.record(int32_t(id));
    }
    write_caption_shard(file, features, 1, enum_of_word<CaptionDtype>(dtype, "type"), records);
    EXPECT_TRUE(read_file(file) == read_file(folder / "shard-00000.safetensors")) << dtype;
  }
}

}  // namespace
}  // namespace pixart::data
