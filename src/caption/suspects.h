// Keeps failed requests until it is known whether the image or the endpoint is at fault.
#pragma once
#include <string>
#include <vector>

#include "chat.h"
#include "job_store.h"
#include "pixart/base/error.h"

namespace pixart::caption {

constexpr bool may_be_the_endpoints(AnswerFault fault) {
  return fault == AnswerFault::kNoAnswer || fault == AnswerFault::kError || fault == AnswerFault::kNotJson ||
         fault == AnswerFault::kReasoning || fault == AnswerFault::kNoImage ||
         fault == AnswerFault::kNoProbabilities;
}

// Faults that a second attempt may repair.
constexpr bool is_accident(AnswerFault fault) {
  return fault == AnswerFault::kNotJson || fault == AnswerFault::kEmpty || fault == AnswerFault::kBadText ||
         fault == AnswerFault::kNoProbabilities || fault == AnswerFault::kBadProbabilities;
}

class Suspects {
 public:
  explicit Suspects(std::string url, bool has_answered_before)
      : url_(std::move(url)), has_answered_before_(has_answered_before) {}

  // Throws UserError after too many failed requests in a row. `status`: of the reply, as client.h means it.
  void add(Result result, AnswerFault fault, long status = 0);
  // Called when the endpoint answers: the images of the earlier failed requests are at fault. Returns their
  // results.
  std::vector<Result> acquit_endpoint();
  // The same at the end. Throws UserError if the endpoint never answered.
  std::vector<Result> finish();

 private:
  [[noreturn]] void blame_endpoint(const std::string& what) const;
  std::string url_;
  bool has_answered_before_, has_answered_ = false;
  int silent_ = 0;   // requests without answer in a row
  long status_ = 0;  // of the last one
  std::vector<Result> results_;
};

}  // namespace pixart::caption
