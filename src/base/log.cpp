#include "pixart/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
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

std::atomic<Level> lowest_level = Level::kInfo, lowest_on_terminal = Level::kDebug;
std::shared_ptr<spdlog::logger> file_logger;  // guarded by terminal_mutex()

// Captions and file names may contain escape sequences, which would control the reader's terminal.
std::string escaped(std::string_view message) {
  std::string text;
  text.reserve(message.size());
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    const bool harmless = (byte >= 0x20 && byte != 0x7F) || c == '\n' || c == '\t';
    if (harmless)
      text += c;
    else
      text += fmt::format("\\x{:02x}", byte);
  }
  return text;
}

}  // namespace

void write(Level level, std::string_view message) {
  if (level < lowest_level.load()) return;
  const std::string text = escaped(message);
  const Style& style = kStyles[size_t(level)];
  const std::scoped_lock lock(terminal_mutex());
  static const bool colors = stderr_is_terminal();
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
  std::shared_ptr<spdlog::logger> logger;
  try {
    logger = std::make_shared<spdlog::logger>(
        "file", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string()));
  } catch (const spdlog::spdlog_ex& error) {
    throw UserError(fmt::format("cannot write the log file {}: {}", path.string(), error.what()),
                    ExitCode::kStorage);
  }
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc);
  // Called under terminal_mutex(). Prints one line only: otherwise a full disk would print one per log line.
  logger->set_error_handler([path, is_said = false](const std::string& reason) mutable {
    if (!std::exchange(is_said, true))
      std::fprintf(stderr, "warn   the log file %s cannot be written: %s\n", path.c_str(), reason.c_str());
  });
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::debug);
  const std::scoped_lock lock(terminal_mutex());
  file_logger = std::move(logger);
}

}  // namespace log
}  // namespace pixart
