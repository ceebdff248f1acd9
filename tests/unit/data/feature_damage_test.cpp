// What is read of a feature set is what was written, or an error: whichever byte is damaged.
#include "feature_damage.h"

#include "feature_files.h"
#include "folder.h"
#include "old_features.h"
#include "pixart/base/log.h"
#include "plain_data.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using namespace pixart::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kRows = 7, kDamagedChannels = 5;
const std::vector<std::string> kKinds = {"float16", "float32", "captions float32", "captions bfloat16",
                                         "captions float8_e4m3fn"};

// Reads every record of a set; an empty text where it is damaged.
using Records = std::vector<std::string>;
Records records_of_latents(const LatentSet& set) {
  Records result;
  for (int64_t row = 0; row < set.rows(); ++row) {
    for (const bool mirrored : {false, true}) {
      const auto shape = set.item(row).latent;
      const auto half = size_t(shape.channels * shape.height * shape.width);
      std::string bytes(2 * half * sizeof(float), '\0');
      auto* values = reinterpret_cast<float*>(bytes.data());
      try {
        set.read(row, mirrored, values, values + half);
      } catch (const DamagedRecord& error) {
        EXPECT_EQ(error.code(), ExitCode::kStorage);
        EXPECT_THAT(error.what(),
                    AllOf(HasSubstr("shard-0000"), HasSubstr("pixart extract RUN.yaml --mend")));
        bytes.clear();
      }
      result.push_back(bytes);
    }
  }
  return result;
}
Records records_of_captions(const CaptionSet& set) {
  Records result;
  for (int32_t id = 0; id < set.num_distinct(); ++id) {
    std::string bytes(size_t(set.num_tokens(id) * set.channels()) * c10::elementSize(set.read_dtype()), '\0');
    try {
      set.read(id, bytes.data());
    } catch (const DamagedRecord& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage);
      bytes.clear();
    }
    result.push_back(bytes);
  }
  return result;
}

class FeatureDamage : public Folder {
 protected:
  fs::path set() const { return folder_ / set_; }
  fs::path shard(int number) const { return set() / fmt::format("shard-{:05d}.safetensors", number); }
  FeatureWork work(const std::string& kind) {
    if (kind.starts_with("captions "))
      return plain_caption_work(set(), dataset_, kind.substr(9), kDamagedChannels);
    return plain_latent_work(set(), dataset_,
                             {.dtype = kind == "float16" ? at::kHalf : at::kFloat, .variants = 2});
  }
  void make(const std::string& kind) {
    fs::remove_all(set());
    ASSERT_TRUE(make_feature_set(work(kind)));
  }
  // Throws UserError where the set is refused.
  Records read(const std::string& kind) const {
    return kind.starts_with("captions ") ? records_of_captions(CaptionSet(set()))
                                         : records_of_latents(LatentSet(set()));
  }
  std::string refused(const std::string& kind) const {
    try {
      read(kind);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage);
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> result;
    for (const auto& entry : fs::directory_iterator(set()))
      result[entry.path().filename()] = read_file(entry.path());
    return result;
  }
  PlainDataset dataset_{kRows};
  std::string set_ = "set";
};

TEST_F(FeatureDamage, NoByteOfAShardChangesWhatIsRead) {
  for (const auto& kind : kKinds) {
    make(kind);
    const Records whole = read(kind);
    const std::string good = read_file(shard(1));
    const bool is_caption = kind.starts_with("captions ");
    std::set<size_t> must_be_noticed;
    std::vector<std::string> tensors = {is_caption ? "features" : "moments"};
    if (kind == "captions float8_e4m3fn") tensors.push_back("scale");
    for (const auto& tensor : tensors) {
      const auto [first, last] = bytes_of(shard(1), tensor);
      for (size_t byte = first; byte < last; ++byte) must_be_noticed.insert(byte);
    }
    for (size_t byte = 0; byte < good.size(); ++byte) {
      std::string bytes = good;
      bytes[byte] = char(bytes[byte] ^ 1 << byte % 8);
      write("set/shard-00001.safetensors", bytes);
      const Records found = read(kind);
      ASSERT_EQ(found.size(), whole.size());
      size_t damaged = 0;
      for (size_t i = 0; i < found.size(); ++i) {
        damaged += found[i].empty() ? 1 : 0;
        ASSERT_TRUE(found[i].empty() || found[i] == whole[i])
            << kind << ", byte " << byte << ", record " << i;
      }
      if (must_be_noticed.count(byte) > 0) {
        ASSERT_EQ(damaged, 1) << kind << ", byte " << byte;
      }
    }
  }
}

TEST_F(FeatureDamage, EveryByteOfTheIndexIsChecked) {
  for (const auto& kind : kKinds) {
    make(kind);
    const std::string good = read_file(set() / kIndexFile);
    for (size_t byte = 0; byte < good.size(); ++byte) {
      std::string bytes = good;
      bytes[byte] = char(bytes[byte] ^ 1 << byte % 8);
      write("set/index.safetensors", bytes);
      ASSERT_THAT(refused(kind), AllOf(HasSubstr("index.safetensors is damaged"), HasSubstr("--mend")));
    }
  }
}

TEST_F(FeatureDamage, NoByteOfTheManifestChangesWhatIsRead) {
  make("float16");
  const Records whole = read("float16");
  const std::string good = read_file(set() / kManifestFile);
  int refused = 0;
  for (size_t byte = 0; byte < good.size(); ++byte) {
    std::string bytes = good;
    bytes[byte] = char(bytes[byte] ^ 1 << byte % 7);
    write("set/manifest.json", bytes);
    try {
      // What it was made of is compared with the run before.
      if (read_feature_manifest(set()).inputs != work("float16").manifest.inputs) continue;
      const Records found = read("float16");
      for (size_t i = 0; i < found.size(); ++i)
        ASSERT_TRUE(found[i].empty() || found[i] == whole[i]) << "byte " << byte << ", record " << i;
    } catch (const UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
  const size_t hash = good.find("\"sha256\"", good.find("\"index\"")) + 12;
  write("set/manifest.json", good);
  flip_bit(set() / kManifestFile, hash);
  EXPECT_THAT(this->refused("float16"), HasSubstr("index.safetensors is damaged"));
  write("set/manifest.json", good);
  auto json = nlohmann::ordered_json::parse(good);
  json.erase("index");
  write("set/manifest.json", json.dump());
  EXPECT_THAT(this->refused("float16"), HasSubstr("manifest.json is damaged"));
}

// --mend deletes the damaged shards that a manifest names.
TEST_F(FeatureDamage, AManifestNamesNoFileOutsideItsFolder) {
  make("float16");
  const std::string good = read_file(set() / kManifestFile);
  write("thesis.tex", "thesis");
  for (const auto& name :
       std::vector<std::string>{"../thesis.tex", (folder_ / "thesis.tex").string(), "..", ".", "", "a/b"}) {
    auto json = nlohmann::ordered_json::parse(good);
    json.at("shards").at(1).at("file") = name;
    write("set/manifest.json", json.dump());
    EXPECT_THAT(refused("float16"), HasSubstr("not a file in its folder")) << name;
    EXPECT_THROW(mend_feature_set(work("float16"), [](uint64_t) {}), UserError) << name;
  }
  EXPECT_EQ(read_file(folder_ / "thesis.tex"), "thesis");
}

TEST_F(FeatureDamage, AManifestsOtherEntriesAreThoseOfOlderVersions) {
  make("float16");
  auto json = nlohmann::ordered_json::parse(read_file(set() / kManifestFile));
  EXPECT_EQ(json.at("format"), 1);
  json.erase("index");
  std::vector<std::string> names;
  for (const auto& [name, value] : json.items()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("format", "kind", "source", "rows", "rejected", "inputs", "shards"));
}

TEST_F(FeatureDamage, SetsOfOlderVersionsAreReadWithOneWarning) {
  for (const auto& kind : kKinds) {
    set_ = "old " + kind;
    make(kind);
    const Records whole = read(kind);
    make_old(set());
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(read(kind), whole) << kind;
    EXPECT_EQ(read(kind), whole);
    const std::string output = ::testing::internal::GetCapturedStderr();
    const size_t first = output.find("without checksums");
    ASSERT_NE(first, std::string::npos) << output;
    EXPECT_EQ(output.find("without checksums", first + 1), std::string::npos) << output;
    EXPECT_THAT(output, AllOf(HasSubstr(set_), HasSubstr("--mend")));
  }
}

TEST_F(FeatureDamage, AShardThatBecomesShorterIsAFaultOfTheDiskAndNotOfARecord) {
  make("float16");
  const LatentSet latents(set());
  std::vector<float> out(32);
  latents.read(0, false, out.data(), out.data() + 16);
  fs::resize_file(shard(0), 8);
  try {
    latents.read(2, true, out.data(), out.data() + 16);
    FAIL();
  } catch (const DamagedRecord& error) {
    FAIL() << error.what();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
  }
}

TEST_F(FeatureDamage, AllProblemsAreNamedAtOnce) {
  make("captions bfloat16");
  uint64_t read_bytes = 0;
  const auto count = [&](uint64_t bytes) { read_bytes += bytes; };
  auto check = check_feature_set(set(), count);
  EXPECT_TRUE(check.problems.empty());
  EXPECT_TRUE(check.has_checksums);
  EXPECT_EQ(read_bytes, feature_bytes(read_feature_manifest(set())));
  flip_bit(shard(0), 9);
  fs::remove(shard(2));
  flip_bit(set() / kIndexFile, 100);
  check = check_feature_set(set(), count);
  EXPECT_THAT(check.problems, ElementsAre(HasSubstr("index.safetensors: its SHA-256 is not"),
                                          HasSubstr("shard-00000.safetensors: its SHA-256 is not"),
                                          HasSubstr("shard-00002.safetensors: it is missing")));
  EXPECT_THAT(check.damaged_shards, ElementsAre(0, 2));
}

TEST_F(FeatureDamage, MendingMakesWhatIsDamagedAgainAndNothingElse) {
  for (const auto& kind : kKinds) {
    make(kind);
    const auto whole = files();
    std::vector<int64_t> made;
    auto again = work(kind);
    again.compute_shard = [&, compute = again.compute_shard](int64_t first, int64_t last) {
      made.push_back(first);
      return compute(first, last);
    };
    const auto mend = [&] {
      made.clear();
      mend_feature_set(again, [](uint64_t) {});
      ASSERT_TRUE(make_feature_set(again));
      EXPECT_EQ(files(), whole) << kind;
    };
    mend();
    EXPECT_THAT(made, ElementsAre());
    flip_bit(shard(1), size_t(fs::file_size(shard(1))) - 1);
    mend();
    EXPECT_THAT(made, ElementsAre(3));
    flip_bit(set() / kIndexFile, 77);
    mend();
    EXPECT_THAT(made, ElementsAre());
    fs::remove(set() / kIndexFile);
    fs::resize_file(shard(0), 20);
    fs::remove(shard(2));
    mend();
    EXPECT_THAT(made, ElementsAre(0, 6));
  }
}

TEST_F(FeatureDamage, MendingAddsChecksumsToOldSets) {
  for (const auto& kind : kKinds) {
    make(kind);
    const Records whole = read(kind);
    const std::string index = read_file(set() / kIndexFile);
    make_old(set());
    auto again = work(kind);
    again.compute_shard = [](int64_t, int64_t) {
      ADD_FAILURE() << "nothing is to be encoded";
      return ShardWriter();
    };
    mend_feature_set(again, [](uint64_t) {});
    ASSERT_TRUE(make_feature_set(again));
    EXPECT_EQ(read_file(set() / kIndexFile), index) << kind;
    EXPECT_EQ(read(kind), whole);
    const auto [first, last] = bytes_of(shard(0), kind.starts_with("captions ") ? "features" : "moments");
    flip_bit(shard(0), last - 1);
    EXPECT_NE(read(kind), whole) << "is noticed now";
  }
}

TEST_F(FeatureDamage, MendingRefusesOtherInputsBeforeItRemovesAnything) {
  make("float16");
  flip_bit(shard(1), 9);
  const auto before = files();
  auto other = work("float32");
  EXPECT_THROW(mend_feature_set(other, [](uint64_t) {}), UserError);
  other = work("float16");
  other.items_per_shard = 4;
  EXPECT_THROW(mend_feature_set(other, [](uint64_t) {}), UserError);
  auto found = files();
  found.erase(".lock");
  EXPECT_EQ(found, before);
}

TEST_F(FeatureDamage, AStopWhileCheckingChangesNothing) {
  make("float16");
  flip_bit(shard(0), 9);
  const auto before = files();
  EXPECT_THROW(mend_feature_set(work("float16"), [](uint64_t) { throw std::runtime_error("stop"); }),
               std::runtime_error);
  auto found = files();
  found.erase(".lock");
  EXPECT_EQ(found, before);
}

}  // namespace
}  // namespace pixart::data
