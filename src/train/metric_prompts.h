// What a stage draws for its metrics.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/features/run_context.h"
#include "pixart/sample/noise_key.h"

namespace pixart::train {

// One of each for every image.
struct MetricPrompts {
  std::vector<std::string> texts = {};  // captions, or names of classes
  std::vector<int64_t> labels = {};     // of a stage that reads labels
  std::vector<sample::NoiseKey> noise = {};
  std::string suite = {};   // its kind; "" without a suite
  std::string sha256 = {};  // as pixart sample hashes the same prompts

  int64_t size() const { return int64_t(texts.size()); }
};

// Prompts evenly spread over the suite or the source of `stage.metrics`, or its classes in turn. An image of a suite
// has the noise that pixart sample --suite gives it. Throws UserError if there are too few.
MetricPrompts metric_prompts(features::RunContext& run, const run::StageConfig& stage);

// Opens everything that the metrics of a stage read, and throws one UserError with all problems.
void check_metrics(features::RunContext& run, const run::StageConfig& stage);

// Rank 0 encodes the prompts that are not in <run>/metric_features. All ranks call it together. Throws
// UserError(kRequeue) if one was asked to stop.
void store_metric_prompts(features::RunContext& run, const run::StageConfig& stage);

// The stored features of the prompts with these numbers, without padding, on the CPU.
struct PromptRow {
  at::Tensor features = {}, mask = {};  // [tokens, C] float32, [max_tokens] int64
};
std::vector<PromptRow> stored_prompts(features::RunContext& run, const MetricPrompts& prompts,
                                      const std::vector<int64_t>& numbers);

}  // namespace pixart::train
