// Golden kind `reparam`: a DiT turned into the start of a PixArt.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_models.h"
#include "pixart/convert/reparameterize.h"

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
    models::TextCondition text;
    text.caption = at::randn({batch, 3, target_config.caption_channels});
    if (target_config.multi_scale)
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

}  // namespace
}  // namespace pixart::convert
