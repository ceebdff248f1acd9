#include "suspects.h"

#include <utility>

#include "message_text.h"

namespace pixart::caption {

namespace {
constexpr int kMostSilent = 3;  // requests, each after all its attempts
constexpr size_t kMostRefused = 20;
}  // namespace

void Suspects::blame_endpoint(const std::string& what) const {
  constexpr long kRateLimit = 429;
  const bool is_limit = status_ == kRateLimit;
  std::string message = fmt::format("{} {}: {}", url_, what, results_.empty() ? "" : results_.back().detail);
  if (is_limit)
    message = followed_by(message,
                          "The endpoint limits the number of requests: give a smaller --in-flight, more "
                          "--retries or a longer --first-pause, or wait.");
  if (is_limit || has_answered_)
    throw UserError(followed_by(message, "All answers so far are kept; the same command continues."),
                    ExitCode::kRequeue);
  throw UserError(followed_by(message,
                              "Is the server running, with a model that accepts images? Are --endpoint and "
                              "--model right?"));
}

void Suspects::add(Result result, AnswerFault fault, long status) {
  silent_ = fault == AnswerFault::kNoAnswer ? silent_ + 1 : 0;
  status_ = status;
  results_.push_back(std::move(result));
  if (silent_ >= kMostSilent) blame_endpoint(fmt::format("gave no answer to {} requests in a row", silent_));
  if (results_.size() >= kMostRefused)
    blame_endpoint(fmt::format("failed {} requests in a row, the last with", results_.size()));
}

std::vector<Result> Suspects::acquit_endpoint() {
  has_answered_ = true;
  silent_ = 0;
  return std::exchange(results_, {});
}

std::vector<Result> Suspects::finish() {
  if (!results_.empty() && !has_answered_ && !has_answered_before_)
    blame_endpoint(fmt::format("answered none of {} requests, the last with", results_.size()));
  return std::exchange(results_, {});
}

}  // namespace pixart::caption
