#include "pixart/data/caption_set.h"

#include "feature_damage.h"
#include "folder.h"
#include "pixart/formats/tensor_file.h"
#include "plain_data.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using pixart::testing::plain_caption_work;
using pixart::testing::plain_features;
using pixart::testing::PlainDataset;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kChannels = 24;

std::vector<int32_t> ids_of(const CaptionSet& captions, int64_t row) {
  const auto [ids, count] = captions.ids(row);
  return {ids, ids + count};
}

at::Tensor read(const CaptionSet& captions, int32_t id) {
  at::Tensor result = at::empty({captions.num_tokens(id), captions.channels()}, captions.read_dtype());
  captions.read(id, result.data_ptr());
  return result.to(at::kFloat);
}

class CaptionSetTest : public Folder {
 protected:
  CaptionSetTest() : dataset_(7) {}
  void make(const std::string& dtype = "bfloat16") {
    ASSERT_TRUE(make_feature_set(plain_caption_work(set(), dataset_, dtype, kChannels)));
  }
  // One shard of given features, as a set of one row for each.
  void make_of(const std::vector<at::Tensor>& features, const std::string& dtype) {
    dataset_ = PlainDataset(int64_t(features.size()));
    auto work = plain_caption_work(set(), dataset_, dtype, kChannels, int64_t(features.size()));
    work.compute_shard = [&](int64_t, int64_t) {
      return [&](const fs::path& file) {
        write_caption_shard(file, features, 0, enum_of_word<CaptionDtype>(dtype, "type"));
      };
    };
    ASSERT_TRUE(make_feature_set(work));
  }
  fs::path set() const { return folder_ / "set"; }
  std::string refused() const {
    try {
      CaptionSet{set()};
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  PlainDataset dataset_;
};

TEST_F(CaptionSetTest, EqualCaptionsAreKeptOnceAndKindsInOrder) {
  dataset_.rows[0].captions = {{"short", "a dog"}, {"long", "a dog on a lawn"}};
  dataset_.rows[1].captions = {{"long", "a dog"}};
  dataset_.rows[2].captions = {};  // missing_caption: empty
  dataset_.rows[3].captions = {{"short", "a dog on a lawn"}, {"long", "a cat"}};
  dataset_.rows[4].captions = {};
  dataset_.reject(4, Reason::kMissingCaption);
  dataset_.rows[5].captions = {};
  dataset_.reject(6, Reason::kEmptyFile);  // the image's fault; the caption is encoded
  const auto distinct = find_distinct_captions(dataset_);
  EXPECT_THAT(distinct.begin, ElementsAre(0, 2, 3, 4, 6, 6, 7, 8));
  EXPECT_THAT(distinct.ids, ElementsAre(0, 1, 0, 2, 1, 3, 2, 4));
  std::vector<std::string> places;
  for (const auto& place : distinct.first) places.push_back(fmt::format("{} {}", place.row, place.kind));
  EXPECT_THAT(places, ElementsAre("0 0", "0 1", "2 0", "3 1", "6 0"));

  make("float32");
  const CaptionSet captions(set());
  EXPECT_EQ(captions.num_distinct(), 5);
  EXPECT_EQ(captions.num_cut(), 2);  // one in each of two shards
  EXPECT_EQ(captions.channels(), kChannels);
  EXPECT_THAT(ids_of(captions, 3), ElementsAre(1, 3));
  EXPECT_THAT(ids_of(captions, 4), IsEmpty());
  EXPECT_EQ(captions.num_tokens(2), 1);  // of an empty caption
  EXPECT_THROW(captions.ids(7), InternalError);
  EXPECT_THROW(captions.num_tokens(5), InternalError);
  const std::vector<std::string> texts = {"a dog", "a dog on a lawn", "", "a cat", "caption 6"};
  for (int32_t id = 0; id < 5; ++id)
    EXPECT_TRUE(at::equal(read(captions, id), plain_features(texts[size_t(id)], kChannels))) << id;
}

TEST_F(CaptionSetTest, ARowsOwnFeatureFileIsOneCaption) {
  dataset_.rows[0].caption_file = dataset_.rows[2].caption_file = "a.npz";
  dataset_.rows[1].caption_file = "caption 3";
  const auto distinct = find_distinct_captions(dataset_);
  EXPECT_THAT(distinct.ids, ElementsAre(0, 1, 0, 2, 3, 4, 5));
  EXPECT_EQ(distinct.first[0].kind, -1);
}

TEST_F(CaptionSetTest, BFloat16IsRoundedOnce) {
  make("bfloat16");
  const CaptionSet captions(set());
  EXPECT_EQ(captions.read_dtype(), at::kBFloat16);
  for (int32_t id = 0; id < 7; ++id) {
    const auto expected = plain_features(fmt::format("caption {}", id), kChannels);
    EXPECT_TRUE(at::equal(read(captions, id), expected.to(at::kBFloat16).to(at::kFloat)));
  }
}

TEST_F(CaptionSetTest, FeaturesOnTheFlyAreThoseThatAreReadBack) {
  at::Tensor features = pixart::testing::waves({2, 6, kChannels}, 1);
  for (int64_t token = 0; token < 6; ++token)
    features.select(1, token) *= std::pow(2.0, double(3 * token - 9));
  features[0][5].zero_();  // padding
  for (const auto dtype : {CaptionDtype::kFloat32, CaptionDtype::kBFloat16, CaptionDtype::kFloat8}) {
    fs::remove_all(set());
    make_of({features[0], features[1]}, word_of(dtype));
    const CaptionSet captions(set());
    const at::Tensor got = as_stored(features, dtype);
    EXPECT_EQ(got.scalar_type(), captions.read_dtype());
    for (int32_t id = 0; id < 2; ++id)
      EXPECT_TRUE(at::equal(got[id].to(at::kFloat), read(captions, id))) << word_of(dtype) << " " << id;
  }
}

// Of e4m3 half a unit in the last place is 1/16 of a number, below its smallest normal number 2^-10; the
// scale is rounded to float16 (2^-11, of the largest number of the token), the result to bfloat16 (2^-8).
TEST_F(CaptionSetTest, Float8IsWithinItsBoundInEveryToken) {
  at::Tensor features = pixart::testing::waves({64, kChannels}, 1);
  for (int64_t token = 0; token < 64; ++token) features[token] *= std::pow(2.0, double(token - 40));
  features[3].zero_();
  features[4] *= 0;
  features[4][7] = 1e-9;                                     // below every scale
  for (int64_t t = 41; t < 50; ++t) features[t][5] *= 1000;  // outlier channels
  features[50].fill_(448);
  make_of({features.narrow(0, 0, 30), features.narrow(0, 30, 34)}, "float8_e4m3fn");
  const CaptionSet captions(set());
  EXPECT_EQ(captions.read_dtype(), at::kBFloat16);
  const at::Tensor got = at::cat({read(captions, 0), read(captions, 1)});
  ASSERT_EQ(got.sizes(), features.sizes());
  const at::Tensor largest = features.abs().amax(1, true),
                   scale = (largest / 448).clamp_min(std::pow(2.0, -14));
  const at::Tensor bound = features.abs() * (1.0 / 16 + 1.0 / 256) + scale * 0x1.01p-10 + largest * 0x1p-11;
  EXPECT_TRUE((got - features).abs().le(bound).all().item<bool>());
  EXPECT_TRUE(got[3].eq(0).all().item<bool>());
  EXPECT_TRUE(got[50].eq(448).all().item<bool>());
  // The largest number of a token keeps its value but for the scale's rounding.
  const at::Tensor kept = got.abs().amax(1), wanted = largest.squeeze(1);
  EXPECT_TRUE(
      (kept - wanted).narrow(0, 41, 23).abs().le(wanted.narrow(0, 41, 23) * 0.005).all().item<bool>());
}

TEST_F(CaptionSetTest, NumbersThatAreNotFiniteAreRefused) {
  for (const double value : {double(NAN), double(INFINITY)}) {
    try {
      write_caption_shard(folder_ / "shard", {at::full({2, 3}, value)}, 0, CaptionDtype::kFloat8);
      FAIL();
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kNumerics);
    }
    EXPECT_FALSE(fs::exists(folder_ / "shard"));
  }
}

TEST_F(CaptionSetTest, SizesOfTypes) {
  EXPECT_EQ(bytes_per_token(enum_of_word<CaptionDtype>("float32", "type"), 10), 40);
  EXPECT_EQ(bytes_per_token(enum_of_word<CaptionDtype>("bfloat16", "type"), 10), 20);
  EXPECT_EQ(bytes_per_token(enum_of_word<CaptionDtype>("float8_e4m3fn", "type"), 10), 12);
  EXPECT_THROW(enum_of_word<CaptionDtype>("float16", "type"), UserError);
}

TEST_F(CaptionSetTest, AnIndexThatDoesNotFitIsRefused) {
  using File = formats::TensorFile;
  const std::vector<std::pair<std::string, std::function<void(File&)>>> cases = {
      {"another size", [](File& f) { f.tensors["row_begin"] = f.tensors["row_begin"].narrow(0, 0, 7); }},
      {"another size", [](File& f) { f.tensors["begin"] = f.tensors["begin"].narrow(0, 0, 6); }},
      {"another size", [](File& f) { f.tensors["length"] = f.tensors["length"].narrow(0, 0, 6); }},
      {"no tensor ids", [](File& f) { f.tensors["ids"] = f.tensors["ids"].to(at::kLong); }},
      {"no entry channels", [](File& f) { f.metadata.erase("channels"); }},
      {"'many' as num_cut", [](File& f) { f.metadata["num_cut"] = "many"; }},
      {"names caption 7", [](File& f) { f.tensors["ids"][3] = 7; }},
      {"at row 2", [](File& f) { f.tensors["row_begin"][2] = 9; }},
      {"every row's captions", [](File& f) { f.tensors["ids"] = f.tensors["ids"].narrow(0, 0, 6); }},
      {"at caption 1", [](File& f) { f.tensors["shard"][1] = 3; }},
      {"at caption 4", [](File& f) { f.tensors["length"][4] = -1; }}};
  for (const auto& [what, change] : cases) {
    fs::remove_all(set());
    make();
    File index = formats::load_safetensors(set() / "index.safetensors");
    change(index);
    index.metadata.erase("format");
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : index.tensors) tensors.push_back({name, tensor});
    formats::save_safetensors(set() / "index.safetensors", tensors, index.metadata);
    pixart::testing::reseal(set());
    EXPECT_THAT(refused(), AllOf(HasSubstr(what), HasSubstr("index.safetensors")));
  }
}

TEST_F(CaptionSetTest, MissingAndDamagedShardsAreRefused) {
  make();
  fs::resize_file(set() / "shard-00002.safetensors", 20);
  EXPECT_THAT(refused(), HasSubstr("shard-00002.safetensors: 20 bytes"));
  fs::remove_all(set());
  make_feature_set(pixart::testing::plain_latent_work(set(), dataset_));
  EXPECT_THAT(refused(), HasSubstr("holds latents, expected captions"));
}

// Whatever the text, the fingerprint tells whether a set still has a caption for each row that needs one.
TEST_F(CaptionSetTest, FingerprintsChangeWithWhatIsEncoded) {
  const std::string before = captions_fingerprint(dataset_);
  dataset_.reject(2, Reason::kEmptyFile);
  EXPECT_EQ(captions_fingerprint(dataset_), before);  // mended or not, its caption is encoded
  dataset_.reject(3, Reason::kBadCaptionText);
  EXPECT_NE(captions_fingerprint(dataset_), before);
  dataset_.listed.clear();
  dataset_.rows[4].captions.clear();
  const std::string with_empty = captions_fingerprint(dataset_);
  EXPECT_NE(with_empty, before);
  dataset_.reject(4, Reason::kMissingCaption);
  EXPECT_NE(captions_fingerprint(dataset_), with_empty);
}

}  // namespace
}  // namespace pixart::data
