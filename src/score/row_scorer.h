// Scores of the rows of one batch: the network of score_rows().
#pragma once
#include <c10/core/Device.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
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

// The reason that data::to_string() calls so; nothing if there is none.
std::optional<data::Reason> reason_called(std::string_view name);

// What the request lacks.
void check_request(const RowScoreRequest& request, Problems& problems);

class RowScorer {
 public:
  // Loads the model, and what else the metrics need. `kinds`: of captions; with several of them each gets a field.
  RowScorer(const RowScoreRequest& request, const std::vector<std::string>& kinds, c10::Device device);
  ~RowScorer();

  ReadRow read(const data::Dataset& dataset, int64_t row) const;  // from any thread
  // One line for each row, with its line break. Values have six digits after the point.
  std::string lines(const std::vector<ReadRow>& batch) const;
  // What shows that lines() did not write this object, as the rest of a sentence about its line: "names no sample"; "" if
  // nothing does.
  std::string problem_of(const nlohmann::ordered_json& line) const;
  bool reads_captions() const;
  // What the scores depend on, besides the source.
  const nlohmann::ordered_json& protocol() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::score
