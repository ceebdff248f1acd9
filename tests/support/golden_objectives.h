// Training losses as golden cases write them (tests/golden/README.md, kinds training_loss and training).
#pragma once
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/diffusion/diffusion_config.h"

namespace pixart::testing {

inline diffusion::Prediction prediction_of(const nlohmann::json& j) {
  if (j.value("predict_xstart", false)) return diffusion::Prediction::kXStart;
  return enum_of_word<diffusion::Prediction>(j.value("prediction", "epsilon"), "prediction");
}

// Without the bound.
inline diffusion::DiffusionConfig training_config(const nlohmann::json& j) {
  diffusion::DiffusionConfig config;
  config.prediction = prediction_of(j);
  config.zero_terminal_snr = j.value("zero_terminal_snr", false);
  config.shift = j.value("shift", config.shift);
  config.loss_weighting =
      enum_of_word<diffusion::LossWeighting>(j.value("loss_weighting", "none"), "weighting");
  config.min_snr_gamma = j.value("min_snr_gamma", config.min_snr_gamma);
  config.p2_gamma = j.value("p2_gamma", config.p2_gamma);
  config.variational_bound = diffusion::trains_variance(config.prediction) ? diffusion::BoundUse::kNone
                                                                           : diffusion::BoundUse::kAdded;
  return config;
}

}  // namespace pixart::testing
