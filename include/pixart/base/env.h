// The process's surroundings: environment variables and clocks are read here only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace pixart {

std::optional<std::string> environment_variable(const char* name);
double monotonic_seconds();  // for durations
std::string utc_time_now();  // "2026-01-31T12:00:00Z"; for people to read, decides nothing
std::string host_name();
int64_t process_id();
bool stderr_is_terminal();
int physical_cores();  // usable by this process: hyperthreads count once; affinity and cgroup quota respected
uint64_t peak_memory_bytes();  // peak resident memory of this process

// Polled at safe points: stop_requested() is true after SIGTERM, SIGINT or SIGUSR1 once catch_stop_signals()
// was called.
void catch_stop_signals();
bool stop_requested();

}  // namespace pixart
