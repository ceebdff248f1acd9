#include "suspects.h"

#include <utility>

namespace pixart::caption {

namespace {
constexpr int kMostSilent = 3;  // requests, each after all its attempts
constexpr size_t kMostRefused = 20;
}  // namespace

void Suspects::blame_endpoint(const std::string& what) const {
  const std::string detail = results_.empty() ? "" : results_.back().detail;
  if (has_answered_)
    throw UserError(fmt::format("{} {}: {}. All captions so far are kept; the same command continues.", url_,
                                what, detail),
                    ExitCode::kRequeue);
  throw UserError(
      fmt::format("{} {}: {}. Is the server running, with a model that accepts images? Are --endpoint and "
                  "--model right?",
                  url_, what, detail));
}

void Suspects::add(Result result, AnswerFault fault) {
  silent_ = fault == AnswerFault::kNoAnswer ? silent_ + 1 : 0;
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
