// Requests that failed, until it is known whether the picture or the endpoint is at fault.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/caption/chat.h"
#include "pixart/caption/job_store.h"

namespace pixart::caption {

constexpr bool may_be_the_endpoints(AnswerFault fault) {
  return fault == AnswerFault::kNoAnswer || fault == AnswerFault::kError || fault == AnswerFault::kNotJson;
}

class Suspects {
 public:
  explicit Suspects(std::string url, bool has_answered_before)
      : url_(std::move(url)), has_answered_before_(has_answered_before) {}

  // Throws UserError when there were too many in a row.
  void add(Result result, AnswerFault fault);
  // The endpoint answers: the results of requests that failed before are their pictures' own.
  std::vector<Result> acquit_endpoint();
  // The same at the end. Throws UserError where the endpoint never answered.
  std::vector<Result> finish();

 private:
  [[noreturn]] void blame_endpoint(const std::string& what) const;
  std::string url_;
  bool has_answered_before_, has_answered_ = false;
  int silent_ = 0;  // in a row
  std::vector<Result> results_;
};

}  // namespace pixart::caption
