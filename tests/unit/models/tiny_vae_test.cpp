#include <fstream>

#include "model_folder.h"
#include "pixart/models/vae.h"

namespace pixart::models {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

VaeConfig tiny_vae_config() {
  VaeConfig config;
  config.block_out_channels = {8, 8, 8};
  config.layers_per_block = config.norm_num_groups = 1;
  config.latent_channels = 16;
  config.tiny = TinyBlocks{.encoder = {1, 2, 1}, .decoder = {1, 1, 2}, .normed = true};
  return config;
}

class TinyVaeTest : public ModelFolderTest {
 protected:
  // As TAESD's files have them: layers have only numbers, of which the decoder's are one higher than diffusers'.
  std::map<std::string, at::Tensor> part(const std::string& side, int64_t first) const {
    const std::string prefix = side + ".layers.";
    std::map<std::string, at::Tensor> result;
    for (const auto& item : made_.state->items()) {
      if (!item.name.starts_with(prefix)) continue;
      const std::string rest = item.name.substr(prefix.size());
      const size_t dot = rest.find('.');
      result[std::to_string(std::stoll(rest.substr(0, dot)) + first) + rest.substr(dot)] = item.tensor;
    }
    return result;
  }

  void write_taesd(const std::string& name = "tae") const {
    save_tensors(folder_ / (name + "_encoder.safetensors"), part("encoder", 0));
    save_tensors(folder_ / (name + "_decoder.safetensors"), part("decoder", 1));
  }

  void write_diffusers(const nlohmann::json& changes = {}) const {
    nlohmann::json json = {
        {"_class_name", "AutoencoderTiny"},        {"latent_channels", 16},
        {"encoder_block_out_channels", {8, 8, 8}}, {"decoder_block_out_channels", {8, 8, 8}},
        {"num_encoder_blocks", {1, 2, 1}},         {"num_decoder_blocks", {1, 1, 2}}};
    json.update(changes);
    std::ofstream(config()) << json.dump();
  }

  LoadedVae made_ = make_vae(tiny_vae_config(), {});
};

TEST_F(TinyVaeTest, TheShapesOfATaesdTellItsConfig) {
  write_taesd();
  EXPECT_TRUE(holds_vae(folder_));
  const auto loaded = load_vae(folder_, at::kCPU);
  const VaeConfig& config = loaded.config();
  EXPECT_THAT(config.block_out_channels, ElementsAre(8, 8, 8));
  EXPECT_EQ(config.latent_channels, 16);
  EXPECT_EQ(config.downscale(), 4);
  EXPECT_EQ(config.scaling_factor, 1);
  EXPECT_THAT(config.tiny->encoder, ElementsAre(1, 2, 1));
  EXPECT_THAT(config.tiny->decoder, ElementsAre(1, 1, 2));
  EXPECT_TRUE(config.tiny->normed);
  expect_same(*loaded.state, *made_.state);
  EXPECT_EQ(loaded.encode(at::zeros({1, 3, 16, 24})).mean.sizes(), at::IntArrayRef({1, 16, 4, 6}));
  EXPECT_EQ(loaded.decode(at::zeros({1, 16, 4, 6})).sizes(), at::IntArrayRef({1, 3, 16, 24}));
}

TEST_F(TinyVaeTest, TheDecoderAloneDecodes) {
  write_taesd();
  const auto loaded = load_vae(folder_ / "tae_decoder.safetensors", at::kCPU);
  EXPECT_TRUE(loaded.config().tiny->encoder.empty());
  EXPECT_EQ(loaded.config().downscale(), 4);
  EXPECT_EQ(loaded.decode(at::zeros({1, 16, 4, 4})).size(1), 3);
  EXPECT_THROW(loaded.encode(at::zeros({1, 3, 16, 16})), InternalError);
}

TEST_F(TinyVaeTest, LatentsAreCutIntoTilesAsThoseOfAnyAutoencoder) {
  const at::Tensor latent = at::linspace(-1, 1, 16 * 20 * 20).view({1, 16, 20, 20});
  EXPECT_EQ(decode_tiled(made_, latent, {.tile = 8}).sizes(), at::IntArrayRef({1, 3, 80, 80}));
}

TEST_F(TinyVaeTest, AFolderWithSeveralPairsIsRefused) {
  write_taesd("tae");
  write_taesd("taexl");
  EXPECT_THAT(message_of([&] { load_vae(folder_, at::kCPU); }),
              AllOf(HasSubstr("several files of an encoder"), HasSubstr("taexl_encoder, tae_encoder")));
}

TEST_F(TinyVaeTest, PartsThatDoNotFitEachOtherAreRefused) {
  VaeConfig other = tiny_vae_config();
  other.latent_channels = 4;
  other.tiny->normed = false;
  write_taesd();
  made_ = make_vae(other, {});
  save_tensors(folder_ / "tae_decoder.safetensors", part("decoder", 1));
  EXPECT_THAT(message_of([&] { load_vae(folder_, at::kCPU); }), HasSubstr("does not fit"));
  save_tensors(folder_ / "tae_encoder.safetensors", part("decoder", 1));
  EXPECT_THAT(message_of([&] { load_vae(folder_, at::kCPU); }), HasSubstr("is not the encoder of a TAESD"));
}

TEST_F(TinyVaeTest, OtherChainsOfLayersAreRefused) {
  auto tensors = part("decoder", 1);
  std::erase_if(tensors,
                [](const auto& item) { return !item.first.starts_with("3."); });  // one block, no end
  tensors["1.weight"] = at::zeros({8, 16, 3, 3});
  save_tensors(folder_ / "d.safetensors", tensors);
  EXPECT_THAT(message_of([&] { vae_config_of(folder_ / "d.safetensors"); }),
              HasSubstr("the layers of its decoder are not those of a TAESD"));
}

TEST_F(TinyVaeTest, ReadsDiffusersConfig) {
  write_diffusers({{"scaling_factor", 0.5}, {"latents_mean", std::vector<double>(16, 0.25)}});
  const VaeConfig config = vae_config_of(folder_);
  EXPECT_EQ(config.scaling_factor, 0.5);
  EXPECT_EQ(config.latents_mean.size(), 16u);
  EXPECT_THAT(config.tiny->decoder, ElementsAre(1, 1, 2));
}

TEST_F(TinyVaeTest, RefusesWhatIsNotSupportedAllAtOnce) {
  write_diffusers({{"act_fn", "gelu"},
                   {"upsampling_scaling_factor", 4},
                   {"decoder_block_out_channels", {8, 8, 16}},
                   {"num_encoder_blocks", {1, 2}},
                   {"encoder_block_out_channels", {8, 8, 4}}});
  EXPECT_THAT(
      message_of([&] { vae_config_of(folder_); }),
      AllOf(HasSubstr("act_fn is \"gelu\""), HasSubstr("upsampling_scaling_factor is 4"),
            HasSubstr("decoder_block_out_channels is [8,8,16]"), HasSubstr("the same width at every level"),
            HasSubstr("encoder has 2 levels of blocks for 3 widths")));
}

}  // namespace
}  // namespace pixart::models
