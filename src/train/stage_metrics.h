// The metrics of a stage: what it draws for them, the networks that look at it, and the scores.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "metric_prompts.h"
#include "metric_rows.h"
#include "pixart/features/latent_codec.h"
#include "pixart/models/transformer.h"
#include "pixart/score/drawn_scores.h"

namespace pixart::train {

class StageMetrics {
 public:
  // Opens the networks on the device of the rank, and reads the features of the prompts that it draws. `ema`:
  // the weights that draw.
  StageMetrics(features::RunContext& run, const run::StageConfig& stage,
               std::shared_ptr<const models::Transformer> ema,
               std::shared_ptr<const features::LatentCodec> codec);

  // Rank 0 makes or reads the features of the reference and of the prompts' texts. All ranks call it together,
  // once. Throws UserError(kRequeue) if one was asked to stop.
  void prepare(distributed::Communicator& ranks);

  // Draws all images and looks at them; see rows_together().
  std::optional<score::DrawnRows> draw(distributed::Communicator& ranks, const std::string& phase,
                                       const std::function<bool()>& asked_to_stop) const;

  // On rank 0: the scores of these rows, and the card of the step.
  score::DrawnValues values(const score::DrawnRows& rows, const std::function<void()>& progress) const;
  std::string card(const score::DrawnValues& values, const score::DrawnRows& rows, int64_t step) const;
  int64_t images() const { return prompts_.size(); }

 private:
  score::DrawnRows make_rows(int64_t first, int64_t count, const std::function<bool()>& asked_to_stop) const;
  models::Condition condition(int64_t first, int64_t count) const;

  const run::StageConfig& stage_;
  const std::filesystem::path cache_;
  const at::Device device_;
  const int64_t seed_;
  std::shared_ptr<const models::Transformer> ema_;
  std::shared_ptr<const features::LatentCodec> codec_;
  const MetricPrompts prompts_;
  const MetricGroups groups_;
  std::map<int64_t, PromptRow> rows_;  // by image: of this rank's captions
  score::DrawnScores scores_;
};

// The names and values of a line of events.jsonl: the scores, without their deviations and multiples.
std::map<std::string, double> metric_events(const score::DrawnValues& values, int64_t images);

}  // namespace pixart::train
