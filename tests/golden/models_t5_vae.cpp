// Golden kinds `t5_encoder`, `vae` and `tiny_vae`: folders as they are published, read and run.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"

namespace pixart::models {
namespace {

using testing::expect_golden;
using testing::GoldenCase;

TEST(GoldenT5, Encoder) {
  at::NoGradGuard no_grad;
  for (const auto& c : testing::golden_cases("t5_encoder")) {
    SCOPED_TRACE(c.name);
    const auto loaded = load_t5(c.folder / c.config().at("model").get<std::string>(), at::kCPU);
    EXPECT_EQ(loaded.state->options().dtype,
              c.config().at("dtype") == "bfloat16" ? at::kBFloat16 : at::kFloat);
    std::vector<at::Tensor> hidden;
    const at::Tensor last =
        loaded.encoder->forward(c.tensor("in.input_ids"), c.tensor("in.attention_mask"), &hidden)
            .to(at::kFloat);
    expect_golden(c, "out.embeddings", hidden.at(0).to(at::kFloat));
    expect_golden(c, "out.block_0", hidden.at(1).to(at::kFloat));
    expect_golden(c, "out.last_hidden_state", last);
    expect_golden(c, "out.relative_bucket",
                  relative_buckets(c.config().at("max_length"), loaded.encoder->config()));
    if (!c.json.at("tolerance").contains("mean_abs")) continue;
    for (const auto& [name, bound] : c.json.at("tolerance").at("mean_abs").items()) {
      ASSERT_EQ(name, "out.last_hidden_state");
      EXPECT_LE((last - c.tensor(name)).abs().mean().item<double>(), bound.get<double>());
    }
  }
}

void check_vae(const GoldenCase& c, const AutoencoderKl& vae, nn::StateDict& state,
               const nlohmann::json& hf) {
  for (auto& tensor : state.trainable()) tensor.set_requires_grad(true);
  const auto moments = vae.encode(c.tensor("in.image"));
  const at::Tensor std = (0.5 * moments.log_var).exp();
  const at::Tensor sample = moments.mean + std * c.tensor("in.noise");
  expect_golden(c, "out.mean", moments.mean);
  expect_golden(c, "out.logvar", moments.log_var);
  expect_golden(c, "out.std", std);
  expect_golden(c, "out.sample", sample);
  expect_golden(c, "out.latent", sample * hf.at("scaling_factor").get<double>());
  const at::Tensor decoded = vae.decode(sample);
  expect_golden(c, "out.decoded", decoded);
  ASSERT_EQ(c.config().at("loss"), "sum(decoded * in.pull) + 0.01 * sum(mean^2 + logvar)");
  at::Tensor loss =
      (decoded * c.tensor("in.pull")).sum() + 0.01 * (moments.mean.square() + moments.log_var).sum();
  if (c.has("out.loss")) expect_golden(c, "out.loss", loss.reshape(c.tensor("out.loss").sizes()));
  torch::autograd::backward({loss}, {});
  int64_t gradients = 0;
  for (const auto& [name, want] : c.tensors) {
    if (!name.starts_with("grad.")) continue;
    expect_golden(c, name, state.get(name.substr(5)).grad());
    ++gradients;
  }
  EXPECT_GT(gradients, 0);
}

TEST(GoldenVae, EncodeDecodeGradient) {
  for (const auto& c : testing::golden_cases("vae")) {
    SCOPED_TRACE(c.name);
    const auto folder = [&](const char* key) { return c.folder / c.config().at(key).get<std::string>(); };
    {
      auto loaded = load_vae(folder("vae"), at::kCPU);
      check_vae(c, *loaded.vae, *loaded.state, c.config().at("hf"));
    }
    if (c.config().contains("vae_old")) {
      auto loaded = load_vae(folder("vae_old"), at::kCPU);
      check_vae(c, *loaded.vae, *loaded.state, c.config().at("hf"));
    }
    if (c.config().contains("ldm")) {
      const VaeConfig config = read_vae_config(folder("vae") / "config.json");
      nn::StateDict state;
      const AutoencoderKl vae(nn::Scope(state), config);
      nn::load_state(state, rename_vae_weights(formats::load_weights(folder("ldm")).tensors, config), "ldm");
      check_vae(c, vae, state, c.config().at("hf"));
    }
  }
}

TEST(GoldenVae, DecodeInTiles) {
  for (const auto& c : testing::golden_cases("vae_tiled")) {
    const auto loaded = load_vae(c.folder / c.config().at("vae").get<std::string>(), at::kCPU);
    EXPECT_EQ(loaded.vae->config().shift_factor, 0.25);
    for (const auto& tiles : c.config().at("cases")) {
      const auto name = tiles.at("name").get<std::string>();
      SCOPED_TRACE(name);
      expect_golden(c, "out." + name,
                    decode_tiled(*loaded.vae, c.tensor("in." + name),
                                 {.tile = tiles.at("tile").get<int64_t>(),
                                  .overlap = tiles.at("overlap").get<double>()}));
    }
  }
}

void check_tiny(const GoldenCase& c, const std::filesystem::path& path) {
  SCOPED_TRACE(path);
  const auto loaded = load_vae(path, at::kCPU);
  ASSERT_TRUE(loaded.tiny);
  const auto moments = loaded.encode(c.tensor("in.image"));
  expect_golden(c, "out.latent", moments.mean);
  EXPECT_TRUE(at::equal(moments.log_var, at::full_like(moments.mean, -30)));
  const at::Tensor image = loaded.decode(c.tensor("out.latent"));
  expect_golden(c, "out.image", image);
  EXPECT_LE((image - c.tensor("out.image")).abs().max().item<double>(),
            2.0 / 255);  // [-1, 1]: one level of 8 bits
}

TEST(GoldenTinyVae, EncodeAndDecode) {
  at::NoGradGuard no_grad;
  int64_t checked = 0;
  for (const auto& c : testing::golden_cases("tiny_vae")) {
    SCOPED_TRACE(c.name);
    for (const char* key : {"taesd", "vae"})
      if (c.config().contains(key))
        check_tiny(c, c.folder / c.config().at(key).get<std::string>()), ++checked;
  }
  EXPECT_EQ(checked, 3);
}

// Its weights are not part of the project.
TEST(GoldenTinyVae, TheRealTaef2) {
  at::NoGradGuard no_grad;
  const auto real = std::filesystem::path(PIXART_SOURCE_DIR) / ".." / "shared" / "real" / "taef2";
  if (!std::filesystem::exists(real)) GTEST_SKIP() << real << " is not on this machine";
  for (const auto& c : testing::golden_cases("tiny_vae"))
    if (c.config().contains("real")) check_tiny(c, real);
  EXPECT_EQ(vae_config_of(real).latent_channels, 32);
  EXPECT_EQ(vae_config_of(real).downscale(), 8);
}

}  // namespace
}  // namespace pixart::models
