// The keys of a stage about the images that it draws.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::run {

// How images are drawn, where it is said.
struct SamplerChoice {
  std::optional<std::string> sampler;
  std::optional<int64_t> num_steps;
  std::optional<double> guidance;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("sampler", s.sampler,
      "Name of the sampler; unset: dpm_solver_pp, or lcm with objective consistency; of metrics, that of samples.",
      one_of(diffusion::sampler_names()).free());
    v("num_steps", s.num_steps,
      "Sampling steps; unset: 20, or 4 with objective consistency; of metrics, as many as samples.",
      in_range(1, 1000).free());
    v("guidance", s.guidance,
      "Classifier-free guidance scale; 1 turns it off. Unset: 4.5, or 1 with objective consistency; of metrics, "
      "that of samples.",
      in_range(1, 100).free());
  }
  diffusion::SamplerConfig or_else(const diffusion::SamplerConfig& usual) const {
    return {.sampler = sampler.value_or(usual.sampler),
            .num_steps = num_steps.value_or(usual.num_steps),
            .guidance = guidance.value_or(usual.guidance)};
  }
};

struct SamplesConfig : SamplerChoice {
  int64_t every = 0;
  std::vector<std::string> prompts;
  int64_t columns = 8;
  std::optional<std::filesystem::path> preview_decoder;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("every", s.every, "Draw a sample grid every N steps and at the end; 0: only at the end.",
      in_range(0, kMostSteps).free());
    v("prompts", s.prompts,
      "Captions (text stages) or class names (class stage) to draw; empty: captions or classes of the "
      "source.",
      any().free());
    SamplerChoice::fields(s, v);
    v("columns", s.columns, "Images per row of the grid.", in_range(1, 1000).free());
    v("preview_decoder", s.preview_decoder,
      "Tiny autoencoder (a folder, or the file of its decoder) that decodes the grid in place of the "
      "autoencoder: quick, and less exact.",
      any().free());
  }
};

}  // namespace pixart::run
