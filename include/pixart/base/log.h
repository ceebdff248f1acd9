// The only interface for logging. Lines go to stderr ("info   message") and, after add_file(), to a log file
// with time stamps. Metrics go to MetricSink, not here. No line is written inside a micro-step.
#pragma once
#include <fmt/format.h>

#include <filesystem>
#include <string_view>

namespace pixart::log {

enum class Level { kDebug, kInfo, kWarning, kError };

void write(Level level, std::string_view message);
void set_level(Level level);                       // default kInfo
void set_terminal_level(Level level);              // of stderr only; the file gets the other lines too
void add_file(const std::filesystem::path& path);  // appends to it; times in UTC

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::kDebug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::kInfo, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::kWarning, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::kError, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace pixart::log
