// Errors and exit codes.
//
// There are two kinds of errors. The user can repair a UserError: it says what is wrong, where, and what to
// do. An InternalError is a bug of this program. Both are caught in tools/main.cpp only; failure.h explains
// the exceptions of others.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pixart {

// Exit codes of the process; the README documents them, and each has a test.
enum class ExitCode : int {
  kDone = 0,
  kInternal = 70,  // a bug of this program
  kNumerics = 71,  // loss or gradient not finite beyond the allowed budget
  // `pixart demo score`: a value did not reach the bar that the config sets; `pixart score --calibrate`: a value
  // is not the published one
  kBelowBar = 72,
  kFolderOwned = 73,  // another process works in this run folder
  kStorage = 74,      // disk full, I/O error
  kRequeue = 75,      // stopped on request after saving: start the same command again
  kDevice = 76,       // a GPU or another rank is lost; too little memory, too many threads or open files
  kBadInput = 78,     // config, data or command line
};

class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& message, ExitCode code = ExitCode::kBadInput)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Collects all problems of one input, so that they are reported at once.
class Problems {
 public:
  void add(std::string problem) { problems_.push_back(std::move(problem)); }
  bool empty() const { return problems_.empty(); }
  const std::vector<std::string>& all() const { return problems_; }
  // Throws one UserError that lists every problem; returns if there is none. `subject` names the file.
  void throw_if_any(std::string_view subject, ExitCode code = ExitCode::kBadInput) const;

 private:
  std::vector<std::string> problems_;
};

namespace internal {
[[noreturn]] void fail_check(const char* file, int line, const char* condition, const std::string& message);
}  // namespace internal
}  // namespace pixart

// Checks an invariant of this program; a failure is a bug. PIXART_CHECK(n > 0, "batch of {}", n)
#define PIXART_CHECK(condition, ...)                                                                 \
  do {                                                                                               \
    if (!(condition)) [[unlikely]]                                                                   \
      ::pixart::internal::fail_check(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
