// The environment of the process. Environment variables and clocks are read in this module only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pixart {

std::optional<std::string> environment_variable(const char* name);
// Not while another thread may read variables.
void set_environment_variable(const char* name, const char* value);
double monotonic_seconds();  // for durations
std::string utc_time_now();  // "2026-01-31T12:00:00Z"; for people to read, no decision depends on it
std::string host_name();
std::string machine_id();  // of the kernel since it was booted: one in all containers of a machine
int64_t process_id();
bool stderr_is_terminal();
int physical_cores();  // that this process may use: hyperthreads count once; affinity and cgroup quota count
uint64_t peak_memory_bytes();  // peak resident memory of this process

// The signals that ask the process to stop: SIGTERM, SIGINT, SIGUSR1, and SIGHUP (a terminal or ssh session
// was closed). SIGHUP is left out if it was ignored when the process started, as nohup does.
std::vector<int> stop_signals();
// After catch_stop_signals(), stop_requested() is true once one of stop_signals() arrived; long work asks it
// at safe points. A process calls it first; a command that never asks calls leave_stop_signals(), and then the
// signals do what they did before, the one that arrived meanwhile at once.
void catch_stop_signals();
void leave_stop_signals();
bool stop_requested();

}  // namespace pixart
