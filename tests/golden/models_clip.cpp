// Golden kind `clip_model`: folders as transformers, open_clip and OpenAI publish them, read and run.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "pixart/models/clip.h"

namespace pixart::models {
namespace {

using testing::expect_golden;

TEST(GoldenClip, ImagesAndTexts) {
  at::NoGradGuard no_grad;
  for (const auto& c : testing::golden_cases("clip_model")) {
    SCOPED_TRACE(c.name);
    const auto loaded = load_clip(c.folder / c.config().at("model").get<std::string>(), at::kCPU);
    std::vector<at::Tensor> vision, text;
    expect_golden(c, "out.image_features", loaded.model->image_features(c.tensor("in.images"), &vision));
    expect_golden(c, "out.text_features", loaded.model->text_features(c.tensor("in.ids"), &text));
    expect_golden(c, "out.logit_scale", at::tensor({float(loaded.model->logit_scale())}));
    for (size_t i = 0; i < 2; ++i) {
      if (!c.has("out.vision." + std::to_string(i))) continue;
      expect_golden(c, "out.vision." + std::to_string(i), vision.at(i));
      expect_golden(c, "out.text." + std::to_string(i), text.at(i));
    }
  }
}

// A text is what is in front of its end token.
TEST(GoldenClip, WhatFollowsTheEndHasNoEffect) {
  at::NoGradGuard no_grad;
  const auto c = testing::golden_cases("clip_model").front();
  const auto loaded = load_clip(c.folder / c.config().at("model").get<std::string>(), at::kCPU);
  at::Tensor ids = c.tensor("in.ids").slice(0, 0, 1).clone();
  const at::Tensor before = loaded.model->text_features(ids);
  ids.slice(1, 4).fill_(1);  // the first text ends at place 3
  EXPECT_TRUE(at::allclose(loaded.model->text_features(ids), before, 0, 1e-6));
}

}  // namespace
}  // namespace pixart::models
