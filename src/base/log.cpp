#include "pixart/base/log.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

#include "log_file.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "terminal.h"

namespace pixart {

std::mutex& terminal_mutex() {
  static std::mutex mutex;
  return mutex;
}

bool& live_line_shown() {
  static bool shown = false;
  return shown;
}

namespace log {

namespace {

struct Style {
  const char* name;
  const char* color;
  spdlog::level::level_enum file_level;
};
constexpr Style kStyles[] = {{"debug", "\033[2m", spdlog::level::debug},
                             {"info", "", spdlog::level::info},
                             {"warn", "\033[33m", spdlog::level::warn},
                             {"error", "\033[31m", spdlog::level::err}};

// Called under terminal_mutex(). Prints one line when the file cannot be written: otherwise a full disk would
// print one per log line.
class FileSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit FileSink(const std::filesystem::path& path) : path_(path), file_(path) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const std::string reason = file_.write({line.data(), line.size()});
    const bool fails = !reason.empty();
    if (fails && !std::exchange(fails_, fails))
      std::fprintf(stderr, "warn   the log file %s cannot be written: %s. Its lines wait in memory.\n",
                   path_.c_str(), reason.c_str());
    fails_ = fails;
  }
  void flush_() override {}

  const std::filesystem::path path_;
  LogFile file_;
  bool fails_ = false;
};

std::atomic<Level> lowest_level = Level::kInfo, lowest_on_terminal = Level::kDebug;
std::shared_ptr<spdlog::logger> file_logger;  // guarded by terminal_mutex()

// The lines after the first are indented, so that no text of a file can look like a line of the program.
std::string as_lines(std::string_view message) {
  constexpr std::string_view kIndent = "       ";
  std::string lines;
  bool at_start = false;
  for (const char c : printable(message, LineBreaks::kKept)) {
    if (at_start && c != ' ' && c != '\t' && c != '\n') lines += kIndent;
    lines += c;
    at_start = c == '\n';
  }
  return lines;
}

}  // namespace

void write(Level level, std::string_view message) {
  if (level < lowest_level.load()) return;
  const std::string text = as_lines(message);
  const Style& style = kStyles[size_t(level)];
  const std::scoped_lock lock(terminal_mutex());
  const bool colors = stderr_is_terminal();
  if (level >= lowest_on_terminal.load()) {
    if (live_line_shown()) std::fputs("\r\033[K", stderr);
    live_line_shown() = false;
    const bool colored = colors && *style.color != '\0';
    const std::string line = fmt::format("{}{:<5}{}  {}\n", colored ? style.color : "", style.name,
                                         colored ? "\033[0m" : "", text);
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
  }
  if (file_logger) file_logger->log(style.file_level, spdlog::string_view_t(text.data(), text.size()));
}

void set_level(Level level) { lowest_level = level; }
void set_terminal_level(Level level) { lowest_on_terminal = level; }

void add_file(const std::filesystem::path& path) {
  auto logger = std::make_shared<spdlog::logger>("file", std::make_shared<FileSink>(path));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::debug);
  const std::scoped_lock lock(terminal_mutex());
  file_logger = std::move(logger);
}

}  // namespace log
}  // namespace pixart
