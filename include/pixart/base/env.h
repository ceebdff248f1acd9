// The process's surroundings: environment variables and clocks are read here only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pixart {

std::optional<std::string> environment_variable(const char* name);
double monotonic_seconds();  // for durations
std::string utc_time_now();  // "2026-01-31T12:00:00Z"; for people to read, decides nothing
std::string host_name();
int64_t process_id();
bool stderr_is_terminal();
int physical_cores();  // usable by this process: hyperthreads count once; affinity and cgroup quota respected
uint64_t peak_memory_bytes();  // peak resident memory of this process

// The signals that ask to stop: SIGTERM, SIGINT, SIGUSR1, and SIGHUP (a terminal or ssh session is closed)
// unless it was ignored when the process started, as nohup does.
std::vector<int> stop_signals();
// Polled at safe points: stop_requested() is true after one of stop_signals() once catch_stop_signals() was
// called. A command that polls calls it before it reads anything; the others are ended by the signals.
void catch_stop_signals();
bool stop_requested();

}  // namespace pixart
