// The keys of `evaluation`: how `pixart demo score` scores a run.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::demo {

struct BarConfig {
  std::string metric;
  double at_least = 0;
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("metric", s.metric, "Metric of score.json, e.g. stage2.all.", required().free());
    v("at_least", s.at_least, "Smallest value that passes, in percent.", any().required().free());
  }
};

struct EvaluationConfig : diffusion::SamplerConfig {
  EvaluationConfig() : SamplerConfig{.num_steps = 16, .guidance = 3.0} {}
  int64_t seen = 117, held_out = 63;
  std::vector<BarConfig> bars;
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("seen", s.seen, "Images drawn from captions whose shape-colour pair was trained on.",
      in_range(1, 1e6).free());
    v("held_out", s.held_out, "Images drawn from captions with pairs never trained on.",
      in_range(1, 1e6).free());
    SamplerConfig::fields(s, v);
    v("bars", s.bars, "Values that must be reached; `pixart demo score` ends with exit code 72 otherwise.",
      any().free());
  }
};

}  // namespace pixart::demo
