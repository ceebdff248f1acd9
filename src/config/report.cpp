#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/config/schema.h"
#include "text.h"

namespace pixart::config::internal {

Report::Report(std::string name, std::vector<std::string> overrides)
    : name_(std::move(name)), overrides_(std::move(overrides)) {}

void Report::add(const Place& place, const std::string& path, const std::string& what) {
  if (is_full()) {
    ++unlisted_;
    return;
  }
  const bool is_override = place.override_index >= 0;
  const std::string where = is_override ? "--set " + shortened(overrides_[size_t(place.override_index)])
                                        : fmt::format("{}:{}", name_, place.line);
  const std::string text = fmt::format("{}: {}{}{}", where, shortened(path), path.empty() ? "" : ": ", what);
  for (const auto& problem : problems_)
    if (problem.text == text) return;
  problems_.push_back({place, text});
}

void Report::throw_if_any() const {
  if (problems_.empty()) return;
  if (problems_.size() == 1) throw UserError(problems_.front().text);
  auto ordered = problems_;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Problem& a, const Problem& b) {
    if (a.place.override_index != b.place.override_index)
      return a.place.override_index < b.place.override_index;
    return a.place.line < b.place.line;
  });
  std::string message = fmt::format("{}: {} problems", name_, problems_.size() + unlisted_);
  for (const auto& problem : ordered) message += "\n  " + problem.text;
  if (unlisted_ > 0) message += fmt::format("\n  and {} more", unlisted_);
  throw UserError(message);
}

}  // namespace pixart::config::internal
