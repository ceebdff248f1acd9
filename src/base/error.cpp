#include "pixart/base/error.h"

namespace pixart {

void Problems::throw_if_any(std::string_view subject, ExitCode code) const {
  if (problems_.empty()) return;
  if (problems_.size() == 1) throw UserError(fmt::format("{}: {}", subject, problems_.front()), code);
  std::string message = fmt::format("{}: {} problems", subject, problems_.size());
  for (const auto& problem : problems_) message += "\n  - " + problem;
  throw UserError(message, code);
}

namespace internal {

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError(fmt::format("{}:{}: {} does not hold{}{}", file, line, condition,
                                  message.empty() ? "" : ": ", message));
}

}  // namespace internal
}  // namespace pixart
