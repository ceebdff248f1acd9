// How a diffusion model is trained: keys of a stage.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

enum class TimestepDraw { kUniform, kLogitNormal, kStratified };
inline EnumWords<TimestepDraw> enum_words(TimestepDraw) {
  return {{"uniform", TimestepDraw::kUniform},
          {"logit_normal", TimestepDraw::kLogitNormal},
          {"stratified", TimestepDraw::kStratified}};
}

enum class LossWeighting { kNone, kMinSnr, kP2, kReleasedSnr };
inline EnumWords<LossWeighting> enum_words(LossWeighting) {
  return {{"none", LossWeighting::kNone},
          {"min_snr", LossWeighting::kMinSnr},
          {"p2", LossWeighting::kP2},
          {"released_snr", LossWeighting::kReleasedSnr}};
}

enum class BoundUse { kAdded, kOnly, kNone };
inline EnumWords<BoundUse> enum_words(BoundUse) {
  return {{"added", BoundUse::kAdded}, {"only", BoundUse::kOnly}, {"none", BoundUse::kNone}};
}

// The defaults are those of DiT and PixArt-alpha.
struct DiffusionConfig {
  Prediction prediction = Prediction::kEpsilon;
  bool zero_terminal_snr = false;
  double shift = 1;
  TimestepDraw timesteps = TimestepDraw::kUniform;
  double logit_mean = 0, logit_std = 1;
  LossWeighting loss_weighting = LossWeighting::kNone;
  double min_snr_gamma = 5, p2_gamma = 1;
  BoundUse variational_bound = BoundUse::kAdded;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("prediction", s.prediction,
      "What the model predicts of a noisy latent: its noise (epsilon, as published), the clean latent "
      "(x_start), v, or the direction of a straight path from the latent to noise (flow matching). v and flow "
      "train no variance: those channels of the output stay, and stay untrained.",
      any());
    v("zero_terminal_snr", s.zero_terminal_snr,
      "v, x_start: the noisiest timestep is pure noise, so that images may be very dark or bright.", any());
    v("shift", s.shift,
      "flow: noise levels s become shift s / (1 + (shift - 1) s), in training and in sampling; 3 at 1024 "
      "pixels in SD3.",
      in_range(0.01, 100).needs_permission("the next steps and images use it"));
    v("timesteps", s.timesteps,
      "How timesteps are drawn. logit_normal: the sigmoid of a normal number, mostly in the middle; "
      "stratified: one in each of batch_size equal parts, so that each step sees all noise levels.",
      any().needs_permission("the next steps draw timesteps in this way"));
    v("logit_mean", s.logit_mean, "logit_normal: mean of the normal number; more than 0: more noise.",
      in_range(-100, 100).needs_permission("the next steps use it"));
    v("logit_std", s.logit_std, "logit_normal: its standard deviation.",
      positive_up_to(100).needs_permission("the next steps use it"));
    v("loss_weighting", s.loss_weighting,
      "Weight of a timestep's error. min_snr: the error of x_0 times the signal-to-noise ratio, at most "
      "min_snr_gamma; p2: the error of the noise over (1 + ratio)^p2_gamma; released_snr: the error of the "
      "noise above t = 249, of x_0 below. Validation has no weights.",
      any().needs_permission("the next steps use these weights"));
    v("min_snr_gamma", s.min_snr_gamma, "min_snr: the largest ratio.",
      positive_up_to(1e6).needs_permission("the next steps use it"));
    v("p2_gamma", s.p2_gamma, "p2: its exponent.",
      in_range(0, 100).needs_permission("the next steps use it"));
    v("variational_bound", s.variational_bound,
      "epsilon, x_start: added (as published): the bound trains the variance; only: it is the whole loss; "
      "none: the variance is not trained.",
      any().needs_permission("the next steps compute this loss"));
  }
  void validate(std::vector<std::string>& problems) const;  // keys that do not fit each other
  Process process() const;
  // The settings on which validation losses depend, with the defaults for the others: they have no weights,
  // and timesteps of their own.
  DiffusionConfig held_out_loss() const;
};

// The names of the keys above.
std::vector<std::string> diffusion_keys();

}  // namespace pixart::diffusion
