// Shared by log and progress, so that a log line does not garble a live progress line.
#pragma once
#include <mutex>

namespace pixart {
std::mutex& terminal_mutex();
bool& live_line_shown();  // guarded by terminal_mutex()
}  // namespace pixart
