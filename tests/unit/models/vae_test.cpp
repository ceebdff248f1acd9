#include "pixart/models/vae.h"

#include "model_folder.h"

namespace pixart::models {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

VaeConfig tiny_vae() {
  VaeConfig config;
  config.block_out_channels = {8, 16, 16};
  config.layers_per_block = 1;
  config.norm_num_groups = 4;
  return config;
}

struct TinyVae {
  TinyVae() : vae(nn::Scope(state), tiny_vae()) {
    initialize(state, tiny_vae(), 5);
    int64_t number = 0;  // no part may be silent: the initial weights have zeros
    for (const auto& item : state.items())
      at::Tensor(item.tensor)
          .add_(at::linspace(-0.1, 0.1 + 0.001 * double(++number), item.tensor.numel()).view_as(item.tensor));
  }
  nn::StateDict state;
  AutoencoderKl vae;
};

at::Tensor image(int64_t height, int64_t width) {
  return at::linspace(-1, 1, 3 * height * width).view({1, 3, height, width}).sin();
}

TEST(VaePreset, StableDiffusionAutoencoderHasItsParameterCount) {
  nn::StateDict state({.device = at::kMeta});
  const AutoencoderKl vae(nn::Scope(state), vae_preset("sd-vae"));
  EXPECT_EQ(state.num_parameters(), 83653863);
  EXPECT_EQ(state.items().size(), 248u);
  int64_t encoder = 0, decoder = 0;
  for (const auto& item : state.items()) {
    if (item.name.starts_with("encoder.")) encoder += item.tensor.numel();
    if (item.name.starts_with("decoder.")) decoder += item.tensor.numel();
  }
  EXPECT_EQ(encoder, 34163592);
  EXPECT_EQ(decoder, 49490179);
  EXPECT_EQ(vae_preset("sdxl-vae").scaling_factor, 0.13025);
  EXPECT_EQ(vae_preset("sd-vae").downscale(), 8);
  EXPECT_THAT(message_of([] { vae_preset("sd-vea"); }),
              AllOf(HasSubstr("sdxl-vae"), HasSubstr("Did you mean 'sd-vae'")));
}

TEST(Vae, ShapesOfAnySize) {
  TinyVae model;
  at::NoGradGuard no_grad;
  const auto moments = model.vae.encode(image(22, 30));
  EXPECT_EQ(moments.mean.sizes(), at::IntArrayRef({1, 4, 5, 7}));
  EXPECT_EQ(moments.log_var.sizes(), moments.mean.sizes());
  const at::Tensor decoded = model.vae.decode(moments.mean);
  EXPECT_EQ(decoded.sizes(), at::IntArrayRef({1, 3, 20, 28}));
  EXPECT_TRUE(decoded.is_contiguous() && decoded.isfinite().all().item<bool>());
}

TEST(Vae, LogVarianceIsClamped) {
  TinyVae model;
  model.state.get("quant_conv.bias")[4] = -1000.0;
  model.state.get("quant_conv.bias")[5] = 1000.0;
  const at::Tensor log_var = model.vae.encode(image(8, 8)).log_var;
  EXPECT_TRUE((log_var.select(1, 0) == -30).all().item<bool>());
  EXPECT_TRUE((log_var.select(1, 1) == 20).all().item<bool>());
}

TEST(Vae, WithAndWithoutGraphAreTheSame) {
  TinyVae model;
  at::Tensor with_graph;
  {
    for (auto& tensor : model.state.trainable()) tensor.set_requires_grad(true);
    with_graph = model.vae.decode(model.vae.encode(image(16, 16)).mean);
    ASSERT_TRUE(with_graph.requires_grad());
  }
  at::NoGradGuard no_grad;  // activations in place
  const at::Tensor input = image(16, 16), before = input.clone();
  EXPECT_TRUE(at::equal(model.vae.decode(model.vae.encode(input).mean), with_graph));
  EXPECT_TRUE(at::equal(input, before));
}

TEST(Vae, RefusesGroupsThatDoNotDivideTheChannels) {
  VaeConfig config = tiny_vae();
  config.norm_num_groups = 6;
  nn::StateDict state;
  EXPECT_THAT(message_of([&] { AutoencoderKl(nn::Scope(state), config); }),
              AllOf(HasSubstr("autoencoder"), HasSubstr("norm_num_groups 6 does not divide 8")));
}

TEST(VaeTiles, OneTileIsTheWholeImageBitForBit) {
  TinyVae model;
  at::NoGradGuard no_grad;
  const at::Tensor latent = image(8, 6).repeat({2, 2, 1, 1}).narrow(1, 0, 4);
  const at::Tensor whole = model.vae.decode(latent);
  EXPECT_TRUE(at::equal(decode_tiled(model.vae, latent, {.tile = 8}), whole));
  EXPECT_TRUE(at::equal(decode_tiled(model.vae, latent, {}), whole));
  const at::Tensor tiled = decode_tiled(model.vae, latent, {.tile = 4});
  EXPECT_EQ(tiled.sizes(), whole.sizes());
  EXPECT_FALSE(at::allclose(tiled, whole));
}

TEST(VaeTiles, TilesWithoutOverlapAreDecodedAlone) {
  TinyVae model;
  at::NoGradGuard no_grad;
  const at::Tensor latent = image(7, 8).repeat({1, 2, 1, 1}).narrow(1, 0, 4),
                   tiled = decode_tiled(model.vae, latent, {.tile = 4, .overlap = 0});
  EXPECT_TRUE(at::equal(tiled.slice(2, 16, 28).slice(3, 0, 16),
                        model.vae.decode(latent.slice(2, 4, 7).slice(3, 0, 4))));
}

TEST(VaeTiles, ThoseThatDoNotFitEachOtherAreABug) {
  TinyVae model;
  const at::Tensor latent = at::zeros({1, 4, 12, 12});
  for (const Tiling& tiling :
       {Tiling{.tile = 6, .overlap = 0.25}, Tiling{.tile = 0}, Tiling{.tile = 4, .overlap = 1}})
    EXPECT_THROW(decode_tiled(model.vae, latent, tiling), InternalError) << tiling.tile;
}

TEST(VaeInitialize, BranchesAreSilentAndConvolutionsKeepTheScale) {
  nn::StateDict state;
  const AutoencoderKl vae(nn::Scope(state), tiny_vae());
  initialize(state, tiny_vae(), 1);
  int silent = 0;
  for (const auto& item : state.items()) {
    const bool is_zero = item.tensor.eq(0).all().item<bool>(), is_one = item.tensor.eq(1).all().item<bool>();
    const bool ends_a_branch = item.name.ends_with("conv2.weight") || item.name.ends_with("to_out.0.weight");
    if (item.name.ends_with(".bias") || ends_a_branch)
      EXPECT_TRUE(is_zero) << item.name;
    else if (item.name.find("norm") != std::string::npos)
      EXPECT_TRUE(is_one) << item.name;
    else
      EXPECT_NEAR(item.tensor.std().item<double>() * std::sqrt(double(item.tensor[0].numel())), 1.0, 0.35)
          << item.name;  // as few as 16 numbers
    silent += ends_a_branch;
  }
  EXPECT_EQ(silent, 3 + 2 + 1 + 6 + 2 + 1);  // resnets and attention of encoder and decoder
  nn::StateDict again;
  const AutoencoderKl second(nn::Scope(again), tiny_vae());
  initialize(again, tiny_vae(), 1);
  expect_same(state, again);
}

TEST(VaeInitialize, WorksOnParametersThatAreTrained) {
  nn::StateDict state;
  const AutoencoderKl vae(nn::Scope(state), tiny_vae());
  for (auto& tensor : state.trainable()) tensor.set_requires_grad(true);
  EXPECT_NO_THROW(initialize(state, tiny_vae(), 1));
}

class VaeFolderTest : public ModelFolderTest {};

TEST_F(VaeFolderTest, ComesBackBitForBit) {
  TinyVae model;
  VaeConfig config = tiny_vae();
  config.scaling_factor = 0.7, config.shift_factor = -0.1159;
  config.sample_size = 512, config.force_upcast = false;
  config.latents_mean = {0.1, -0.2, 0.3, 1.0 / 3};
  config.latents_std = {1, 2, 3, 4};
  save_vae(folder_, config, model.state);
  const auto loaded = load_vae(folder_, at::kCPU);
  expect_same(model.state, *loaded.state);
  const VaeConfig& back = loaded.vae->config();
  EXPECT_EQ(std::tie(back.in_channels, back.latent_channels, back.block_out_channels, back.layers_per_block,
                     back.norm_num_groups),
            std::tie(config.in_channels, config.latent_channels, config.block_out_channels,
                     config.layers_per_block, config.norm_num_groups));
  EXPECT_EQ(std::tie(back.scaling_factor, back.shift_factor, back.latents_mean, back.latents_std),
            std::tie(config.scaling_factor, config.shift_factor, config.latents_mean, config.latents_std));
  EXPECT_EQ(back.sample_size, 512);
  EXPECT_FALSE(back.force_upcast);
  EXPECT_TRUE(at::equal(model.vae.encode(image(16, 16)).mean, loaded.vae->encode(image(16, 16)).mean));
  EXPECT_EQ(load_vae(folder_, at::kCPU, at::kBFloat16).state->get("quant_conv.bias").scalar_type(),
            at::kBFloat16);
}

TEST_F(VaeFolderTest, RefusesWhatIsNotSupportedAllAtOnce) {
  write_vae_config(config(), tiny_vae());
  edit_config({{"down_block_types", {"DownEncoderBlock2D", "AttnDownEncoderBlock2D", "DownEncoderBlock2D"}},
               {"use_quant_conv", false},
               {"act_fn", "relu"},
               {"shift_factor", "a little"},
               {"mid_block_add_attention", false},
               {"use_post_quant_conv", false},
               {"norm_num_groups", 3},
               {"latents_std", {1, 2}},
               {"layers_per_block", "two"}});
  const std::string message = message_of([&] { read_vae_config(config()); });
  for (const char* part :
       {"config.json", "down_block_types is [\"DownEncoderBlock2D\",\"AttnDownEncoderBlock2D\"",
        "use_quant_conv is false; only true is supported", "act_fn is \"relu\"; only \"silu\"",
        "shift_factor is \"a little\"; expected a number", "mid_block_add_attention is false; only true",
        "use_post_quant_conv is false; only true", "norm_num_groups 3 does not divide 8",
        "latents_std has 2 entries for 4", "layers_per_block is \"two\""})
    EXPECT_THAT(message, HasSubstr(part));
  write_vae_config(config(), tiny_vae());
  edit_config({{"force_upcast", true}, {"sample_size", 512}, {"scaling_factor", nullptr}});
  EXPECT_EQ(read_vae_config(config()).scaling_factor, 0.18215);
  edit_config({{"block_out_channels", {8, 16.5, 16}}});
  EXPECT_THAT(message_of([&] { read_vae_config(config()); }), HasSubstr("block_out_channels is [8,16.5,16]"));
}

// The file of the SDXL autoencoder, as diffusers writes it.
TEST_F(VaeFolderTest, ReadsTheConfigOfTheSdxlAutoencoder) {
  std::ofstream(config()) << R"({
  "_class_name": "AutoencoderKL", "_diffusers_version": "0.42.1", "_name_or_path": "sdxl-vae", "act_fn": "silu",
  "block_out_channels": [128, 256, 512, 512],
  "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
  "force_upcast": true, "in_channels": 3, "latent_channels": 4, "latents_mean": null, "latents_std": null,
  "layers_per_block": 2, "mid_block_add_attention": true, "norm_num_groups": 32, "out_channels": 3,
  "sample_size": 1024, "scaling_factor": 0.13025, "shift_factor": null,
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
  "use_post_quant_conv": true, "use_quant_conv": true})";
  const VaeConfig read = read_vae_config(config()), preset = vae_preset("sdxl-vae");
  const auto all = [](const VaeConfig& c) {
    return std::tie(c.block_out_channels, c.layers_per_block, c.norm_num_groups, c.latent_channels,
                    c.in_channels, c.scaling_factor, c.shift_factor, c.latents_mean, c.latents_std);
  };
  EXPECT_EQ(all(read), all(preset));
  EXPECT_EQ(read.shift_factor, 0);
  EXPECT_EQ(read.sample_size, 1024);
  EXPECT_TRUE(read.force_upcast);
  edit_config({{"shift_factor", 0.0609}});
  EXPECT_EQ(read_vae_config(config()).shift_factor, 0.0609);
  edit_config({{"shift_factor", nullptr}});  // removes it
  EXPECT_EQ(read_vae_config(config()).shift_factor, 0);
}

TEST_F(VaeFolderTest, NumbersHaveBounds) {
  const auto refused = [&](const nlohmann::json& changes) {
    write_vae_config(config(), tiny_vae());
    edit_config(changes);
    return message_of([&] { read_vae_config(config()); });
  };
  for (const char* key : {"in_channels", "latent_channels", "layers_per_block", "norm_num_groups"})
    for (const nlohmann::json& value : {nlohmann::json(0), nlohmann::json(int64_t{1} << 31),
                                        nlohmann::json(UINT64_MAX), nlohmann::json(1e308)})
      EXPECT_THAT(refused({{key, value}}), HasSubstr(std::string(key) + " is ")) << value;
  EXPECT_THAT(refused({{"block_out_channels", {8, 16, 1 << 17}}}), HasSubstr("from 1 to 65536"));
}

TEST_F(VaeFolderTest, SizesAreComparedWithTheWeightsBeforeMemoryIsUsed) {
  TinyVae model;
  save_vae(folder_, tiny_vae(), model.state);
  edit_config({{"block_out_channels", {65536, 65536, 65536}}, {"layers_per_block", 64}});
  EXPECT_THAT(message_of([&] { load_vae(folder_, at::kCPU); }), HasSubstr("does not fit the model"));
}

TEST_F(VaeFolderTest, ReportsMissingAndUnexpectedWeights) {
  TinyVae model;
  save_vae(folder_, tiny_vae(), model.state);
  auto tensors = tensors_of(model.state);
  tensors.erase("decoder.conv_in.weight");
  tensors["decoder.conv_inn.weight"] = at::ones({16, 4, 3, 3});
  save_tensors(folder_ / "diffusion_pytorch_model.safetensors", tensors);
  EXPECT_THAT(
      message_of([&] { load_vae(folder_, at::kCPU); }),
      AllOf(HasSubstr("missing: decoder.conv_in.weight"), HasSubstr("unexpected: decoder.conv_inn.weight")));
}

TEST(VaeNames, WholeCheckpointIsReducedToTheAutoencoder) {
  const at::Tensor matrix = at::arange(16, at::kFloat).view({4, 4, 1, 1}), one = at::ones({1});
  const auto renamed =
      rename_vae_weights({{"first_stage_model.encoder.conv_in.weight", one},
                          {"first_stage_model.encoder.norm_out.bias", one},
                          {"first_stage_model.encoder.mid.attn_1.q.weight", matrix},
                          {"first_stage_model.encoder.down.1.block.0.nin_shortcut.weight", matrix},
                          {"first_stage_model.decoder.up.0.block.1.conv2.bias", one},
                          {"first_stage_model.decoder.up.2.upsample.conv.bias", one},
                          {"first_stage_model.loss.logvar", one},
                          {"model.diffusion_model.out.0.bias", one}},
                         tiny_vae());
  const std::vector<std::string> expected = {"decoder.up_blocks.0.upsamplers.0.conv.bias",
                                             "decoder.up_blocks.2.resnets.1.conv2.bias",
                                             "encoder.conv_in.weight",
                                             "encoder.conv_norm_out.bias",
                                             "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
                                             "encoder.mid_block.attentions.0.to_q.weight"};
  std::vector<std::string> names;
  for (const auto& [name, tensor] : renamed) names.push_back(name);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(renamed.at("encoder.mid_block.attentions.0.to_q.weight").dim(), 2);
  EXPECT_EQ(renamed.at("encoder.down_blocks.1.resnets.0.conv_shortcut.weight").dim(), 4);
}

TEST(VaeNames, TodaysNamesStayAndTwiceTheSameIsRefused) {
  TinyVae model;
  const auto tensors = tensors_of(model.state);
  const auto renamed = rename_vae_weights(tensors, tiny_vae());
  ASSERT_EQ(renamed.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(renamed.at(name).is_same(tensor)) << name;
  auto twice = tensors;
  twice["decoder.mid_block.attentions.0.query.bias"] = at::zeros({16});
  EXPECT_THAT(message_of([&] { rename_vae_weights(twice, tiny_vae()); }),
              HasSubstr("decoder.mid_block.attentions.0.to_q.bias twice"));
  EXPECT_THAT(message_of([] {
                rename_vae_weights({{"a.encoder.conv_in.weight", at::ones({1})},
                                    {"b.encoder.conv_in.weight", at::ones({1})}},
                                   tiny_vae());
              }),
              HasSubstr("2 autoencoders"));
}

}  // namespace
}  // namespace pixart::models
