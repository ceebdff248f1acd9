// Scores of the rows of one batch: the network of score_rows().
#pragma once
#include <c10/core/Device.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/data/dataset.h"
#include "pixart/score/row_scores.h"

namespace pixart::score {

// A row that was read, or the reason why it cannot be.
struct ReadRow {
  int64_t row = 0;
  data::Row known = {};
  int width = 0, height = 0;
  std::vector<float> input = {};  // [3, side, side] of the network
  std::optional<data::Rejection> rejection = {};
};

// What the request lacks.
void check_request(const RowScoreRequest& request, Problems& problems);

class RowScorer {
 public:
  // Loads the model, and what else the metrics need. `has_kinds`: each kind of captions gets a field.
  RowScorer(const RowScoreRequest& request, bool has_kinds, c10::Device device);
  ~RowScorer();

  ReadRow read(const data::Dataset& dataset, int64_t row) const;  // from any thread
  // One line for each row, with its line break. Values have six digits after the point.
  std::string lines(const std::vector<ReadRow>& batch) const;
  bool reads_captions() const;
  // What the scores depend on, besides the source.
  const nlohmann::ordered_json& protocol() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::score
