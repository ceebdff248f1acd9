// Golden kinds `reparam`: a DiT turned into the start of a PixArt; `dit_diffusers` and `pixart_diffusers`:
// official weights to diffusers' layout and back, bit for bit; `lora`: adapters of PEFT, merged.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "golden.h"
#include "golden_models.h"
#include "pixart/base/env.h"
#include "pixart/convert/convert.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/reparameterize.h"
#include "pixart/convert/tensor_map.h"

namespace pixart::convert {
namespace {

using nlohmann::json;
using testing::dit_config;
using testing::expect_golden;
using testing::pixart_config;

const std::map<std::string, Disposition> kDispositions = {{"copied", Disposition::kCopied},
                                                          {"derived", Disposition::kDerived},
                                                          {"new-init", Disposition::kNewInit},
                                                          {"dropped", Disposition::kDropped}};

TEST(GoldenReparam, WeightsPlanAndForward) {
  at::NoGradGuard no_grad;
  for (const auto& c : testing::golden_cases("reparam")) {
    SCOPED_TRACE(c.name);
    const auto source_config = dit_config(c.config().at("dit"));
    const auto target_config = pixart_config(c.config().at("target"));
    nn::StateDict source, target;
    const models::Dit dit(nn::Scope(source), source_config);
    const models::PixArt pixart(nn::Scope(target), target_config);
    nn::load_state(source, c.weights, c.name);
    ASSERT_EQ(c.config().at("t"), 500);
    const auto plan = reparameterize(
        source, source_config, target, target_config,
        {.shared_modulation = c.config().at("t_block"), .init = {.seed = 1, .embedder_std = {}}});

    std::map<std::string, Disposition> got, want;
    for (const auto& tensor : plan) got.emplace(tensor.name, tensor.disposition);
    for (const auto& [key, disposition] : kDispositions)
      for (const auto& name : c.config().contains("disposition") ? c.config().at("disposition").at(key)
                                                                 : c.json.at("disposition").at(key))
        want.emplace(name, disposition);
    EXPECT_EQ(got, want);
    for (const auto& [name, disposition] : want) {
      if (disposition == Disposition::kCopied) {
        EXPECT_TRUE(at::equal(source.get(name), target.get(name))) << name;
      }
      if (disposition == Disposition::kDerived) expect_golden(c, "out.weight." + name, target.get(name));
    }
    const json& zero =
        c.json.contains("new_init_zero") ? c.json.at("new_init_zero") : c.config().at("new_init_zero");
    for (const auto& name : zero) EXPECT_EQ(target.get(name).abs().max().item<float>(), 0.0f) << name;

    for (const auto& name : c.config().at("zero_before_forward")) target.get(name).zero_();
    const at::Tensor latent = c.tensor("in.x");
    const int64_t batch = latent.size(0);
    models::Condition text;
    text.caption = at::randn({batch, 3, target_config.caption_channels});
    if (target_config.micro_conditions)
      text.image_size = at::full({batch, 2}, 64.0), text.aspect_ratio = at::ones({batch, 1});
    std::vector<at::Tensor> blocks;
    expect_golden(c, "out.output", pixart.forward(latent, at::full({batch}, 500.0), text, &blocks));
    for (size_t i = 0; i < blocks.size(); ++i)
      if (c.has("out.block." + std::to_string(i)))
        expect_golden(c, "out.block." + std::to_string(i), blocks[i]);
    expect_golden(c, "out.other_t.output",
                  pixart.forward(latent, c.tensor("in.other_t").expand({batch}), text));
  }
}

namespace fs = std::filesystem;
using formats::Weights;

void expect_same_weights(const Weights& got, const Weights& want,
                         const std::set<std::string>& left_out = {}) {
  std::set<std::string> names, wanted;
  for (const auto& [name, info] : got.tensors) names.insert(name);
  for (const auto& [name, info] : want.tensors)
    if (left_out.count(name) == 0) wanted.insert(name);
  EXPECT_EQ(names, wanted);
  for (const auto& name : wanted) {
    if (names.count(name) == 0) continue;
    const at::Tensor a = got.read(name), b = want.read(name);
    EXPECT_EQ(a.scalar_type(), b.scalar_type()) << name;
    EXPECT_TRUE(at::equal(a, b)) << name;
  }
}

class GoldenLayouts : public ::testing::Test {
 protected:
  GoldenLayouts() : folder_(fs::path(::testing::TempDir()) / fmt::format("pixart_layouts_{}", process_id())) {
    fs::create_directories(folder_);
  }
  ~GoldenLayouts() override { fs::remove_all(folder_); }

  // Both maps on tensors, then the same through files: official -> diffusers folder -> official -> .pth.
  template <class Config>
  void check(const testing::GoldenCase& c, const Config& config, const TensorMap& to, const TensorMap& from) {
    SCOPED_TRACE(c.kind + "/" + c.name);
    const fs::path model = c.folder / c.config().at("model").get<std::string>();
    const Weights official = formats::open_safetensors(c.folder / "official.safetensors");
    const Weights diffusers = formats::open_weights(model);
    const std::set<std::string> dropped = c.json.at("dropped");
    expect_same_weights(apply(to, official, c.name), diffusers);
    expect_same_weights(apply(from, diffusers, c.name), official, dropped);

    const LayoutHints hints{.num_heads = config.num_heads, .max_tokens = {}, .position_scale = {}};
    const auto source = to_official(open_and_identify(c.folder / "official.safetensors", "model", hints));
    EXPECT_EQ(architecture_text(source.identity.architecture), architecture_text(config));
    const fs::path written = folder_ / (c.kind + "_" + c.name);
    write_transformer(source, written, "test", {});
    expect_same_weights(formats::open_weights(written), diffusers);
    const auto back = to_official(open_and_identify(written));
    write_transformer(back, folder_ / "back.pth", "test", {.overwrite = true});
    expect_same_weights(apply(to, formats::open_weights(folder_ / "back.pth"), c.name), diffusers);
    write_transformer(source, folder_ / "whole.pth", "test", {.overwrite = true});
    expect_same_weights(formats::open_weights(folder_ / "whole.pth"), official);
  }

  fs::path folder_;
};

TEST_F(GoldenLayouts, PixArt) {
  for (const auto& c : testing::golden_cases("pixart_diffusers")) {
    const auto config = pixart_config(c.config().at("official"));
    check(c, config, pixart_to_diffusers(config), pixart_from_diffusers(config));
    const fs::path written = folder_ / (c.kind + "_" + c.name);
    EXPECT_EQ(architecture_text(open_and_identify(written).identity.architecture), architecture_text(config));
    for (const fs::path& file :
         {c.folder / "transformer/config.json", c.folder / "config.legacy.json", written / "config.json"}) {
      auto found = models::read_pixart_config(file);
      found.max_tokens = config.max_tokens;  // diffusers' config.json does not tell it and the next one
      found.multi_scale = config.multi_scale;
      EXPECT_EQ(architecture_text(found), architecture_text(config)) << file;
    }
  }
}

// As PixArtSigmaPipeline.save_pretrained() writes it.
TEST_F(GoldenLayouts, APixArtSigmaOfDiffusersIsRecognised) {
  int found = 0;
  for (const auto& c :
       testing::golden_cases_in(fs::path(PIXART_SOURCE_DIR) / "tests/golden", "pixart_diffusers")) {
    if (!fs::exists(c.folder / "model_index.json")) continue;
    const auto identity = open_and_identify(c.folder / "transformer").identity;
    EXPECT_EQ(architecture_text(identity.architecture),
              architecture_text(pixart_config(c.config().at("official"))));
    EXPECT_TRUE(identity.summary.starts_with("PixArt-Sigma, ")) << identity.summary;
    EXPECT_TRUE(identity.assumed.empty());
    ++found;
  }
  EXPECT_EQ(found, 1);
}

TEST_F(GoldenLayouts, Dit) {
  for (const auto& c : testing::golden_cases("dit_diffusers")) {
    const auto config = dit_config(c.config().at("official"));
    check(c, config, dit_to_diffusers(config), dit_from_diffusers(config));
    for (const fs::path& file :
         {c.folder / "transformer/config.json", folder_ / (c.kind + "_" + c.name) / "config.json"})
      EXPECT_EQ(architecture_text(models::read_dit_config(file)), architecture_text(config)) << file;
  }
}

// The cases are in this project alone, wherever the others are.
TEST(GoldenLora, MergedAsByPeft) {
  const fs::path golden = fs::path(PIXART_SOURCE_DIR) / "tests/golden";
  for (const auto& c : testing::golden_cases_in(golden, "lora")) {
    SCOPED_TRACE(c.name);
    const fs::path model = golden / c.config().at("base").get<std::string>();
    const auto base = to_official(open_and_identify(model));
    const auto map = pixart_to_diffusers(std::get<models::PixArtConfig>(base.identity.architecture));
    const Weights before = apply(map, base.weights, c.name);
    const Weights after =
        apply(map, merge_lora(base, read_lora(c.folder), 1, c.name).weights.weights, c.name);
    size_t changed = 0;
    for (const auto& [name, info] : before.tensors) {
      const bool is_target = c.has("out." + name);
      if (is_target) expect_golden(c, "out." + name, after.read(name));
      EXPECT_EQ(at::equal(before.read(name), after.read(name)), !is_target) << name;
      changed += is_target ? 1 : 0;
    }
    EXPECT_EQ(changed, c.tensors.size());
  }
}

}  // namespace
}  // namespace pixart::convert
