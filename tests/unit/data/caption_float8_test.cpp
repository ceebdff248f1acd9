#include "pixart/data/caption_set.h"

#include <ATen/ATen.h>

#include "folder.h"

namespace pixart::data {
namespace {

// A source of five rows, two of which have the same caption.
class CaptionSetTest : public Folder {
 protected:
  CaptionSetTest() {
    for (const char* name : {"a", "b", "c", "d"})
      captioned(std::string("in/") + name, std::string("text ") + name);
    captioned("in/e", "text b");
    SourceConfig config;
    config.name = "letters";
    config.type = "image_folder";
    config.path = folder_ / "in";
    dataset_ = open_dataset(config);
    at::manual_seed(4);
    for (const int64_t tokens : {3, 1, 7, 2}) features_.push_back(at::randn({tokens, 40}) * 30);
    features_[2][5].zero_();
    features_[2][6].fill_(1e-3);
  }

  CaptionSet make(const std::string& dtype) const {
    FeatureWork work;
    work.folder = folder_ / dtype;
    work.manifest = {.kind = "captions",
                     .source = "letters",
                     .rows = 5,
                     .rejected = 0,
                     .inputs = {{"dtype", dtype}},
                     .shards = {}};
    work.items = 4;
    work.items_per_shard = 3;
    work.write_shard = [&](const std::filesystem::path& file, int64_t first, int64_t last) {
      write_caption_shard(file, {features_.begin() + first, features_.begin() + last}, 0,
                          caption_dtype(dtype));
    };
    work.write_index = [&](const std::vector<std::filesystem::path>& shards) {
      write_caption_index(work.folder, shards, find_distinct_captions(*dataset_));
      return int64_t{0};
    };
    EXPECT_TRUE(make_feature_set(work));
    return CaptionSet(work.folder);
  }

  static at::Tensor read(const CaptionSet& set, int32_t id) {
    at::Tensor out = at::empty({set.num_tokens(id), set.channels()}, set.read_dtype());
    set.read(id, out.data_ptr());
    return out;
  }

  std::unique_ptr<Dataset> dataset_;
  std::vector<at::Tensor> features_;
};

TEST_F(CaptionSetTest, ComesBackAsItWasWritten) {
  const CaptionSet exact = make("float32"), rounded = make("bfloat16");
  EXPECT_EQ(exact.num_distinct(), 4);
  EXPECT_EQ(exact.ids(4).first[0], exact.ids(1).first[0]);
  for (int32_t id = 0; id < 4; ++id) {
    EXPECT_TRUE(at::equal(read(exact, id), features_[size_t(id)])) << id;
    EXPECT_TRUE(at::equal(read(rounded, id), features_[size_t(id)].to(at::kBFloat16))) << id;
  }
}

// e4m3 has three bits behind the point: half a unit there is 1/16, and what is below 2^-6 of the scale is
// absolute.
TEST_F(CaptionSetTest, Float8IsTheRoundedValueTimesTheScaleOfItsToken) {
  const CaptionSet set = make("float8_e4m3fn");
  for (int32_t id = 0; id < 4; ++id) {
    const at::Tensor& want = features_[size_t(id)];
    const at::Tensor scale = (want.abs().amax(1, true) / 448).clamp_min(6e-8).to(at::kHalf).to(at::kFloat);
    const at::Tensor quantized = (want / scale).clamp(-448, 448).to(at::kFloat8_e4m3fn).to(at::kFloat);
    const at::Tensor got = read(set, id);
    EXPECT_TRUE(at::equal(got, (quantized * scale).to(at::kBFloat16))) << id;
    const at::Tensor error = (got.to(at::kFloat) - want).abs();
    EXPECT_TRUE((error <= want.abs() * (1 / 16.0 + 1 / 256.0) + scale * 0.002).all().item<bool>()) << id;
  }
}

}  // namespace
}  // namespace pixart::data
