#include "pixart/base/error.h"

namespace pixart {

namespace {

// The later lines of a problem, such as its own list of problems, are below its first line.
std::string indented(const std::string& problem) {
  std::string result;
  for (const char symbol : problem) result += symbol == '\n' ? "\n  " : std::string(1, symbol);
  return result;
}

}  // namespace

void Problems::throw_if_any(std::string_view subject, ExitCode code) const {
  if (problems_.empty()) return;
  if (problems_.size() == 1) throw UserError(fmt::format("{}: {}", subject, problems_.front()), code);
  std::string message = fmt::format("{}: {} problems", subject, problems_.size());
  for (const auto& problem : problems_) message += "\n  - " + indented(problem);
  throw UserError(message, code);
}

namespace internal {

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError(fmt::format("{}:{}: {} does not hold{}{}", file, line, condition,
                                  message.empty() ? "" : ": ", message));
}

}  // namespace internal
}  // namespace pixart
