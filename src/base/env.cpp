#include "pixart/base/env.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

namespace pixart {

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

void set_environment_variable(const char* name, const char* value) { ::setenv(name, value, 1); }

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string utc_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown host";
}

std::string machine_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  return std::getline(file, id) ? id : host_name();
}

int64_t process_id() { return ::getpid(); }

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }

namespace {

constexpr int kNoLimit = 1 << 20;

// Cores allowed by the cgroup's quota ("max 100000" or "150000 100000").
int cgroup_cores() {
  std::ifstream stream("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(stream >> quota >> period) || quota == "max" || period <= 0) return kNoLimit;
  return int(std::clamp(std::atof(quota.c_str()) / period, 1.0, double(kNoLimit)));
}

// One number from /sys for a logical CPU, e.g. its core_id; -1 if the kernel does not report it.
int topology(int cpu, const char* what) {
  std::ifstream stream("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + what);
  int value = -1;
  return stream >> value ? value : -1;
}

// The number of different cores among the logical CPUs that this process may use.
int affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return int(::sysconf(_SC_NPROCESSORS_ONLN));
  std::set<std::pair<int, int>> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const int core = topology(cpu, "core_id");
    cores.emplace(core < 0 ? -1 : topology(cpu, "physical_package_id"), core < 0 ? cpu : core);
  }
  return int(cores.size());
}

volatile std::sig_atomic_t stop_signal_seen = 0;

void note_stop(int signal) { stop_signal_seen = signal; }

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
struct sigaction actions_before[std::size(kStopSignals)] = {};
bool are_caught = false;

bool is_ignored_hang_up(int signal) {
  struct sigaction now {};
  return signal == SIGHUP && ::sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

int physical_cores() {
  static const int cores = std::max(1, std::min(affinity_cores(), cgroup_cores()));
  return cores;
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return uint64_t(usage.ru_maxrss) * 1024;
}

std::vector<int> stop_signals() {
  std::vector<int> signals;
  for (const int signal : kStopSignals)
    if (!is_ignored_hang_up(signal)) signals.push_back(signal);
  return signals;
}

// Allocates nothing: it may be called before the libraries are initialised.
void catch_stop_signals() {
  if (are_caught) return;
  are_caught = true;
  struct sigaction action {};
  action.sa_handler = note_stop;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kStopSignals); ++i) {
    const bool is_left = is_ignored_hang_up(kStopSignals[i]);
    ::sigaction(kStopSignals[i], is_left ? nullptr : &action, &actions_before[i]);
  }
}

void leave_stop_signals() {
  if (!are_caught) return;
  are_caught = false;
  for (size_t i = 0; i < std::size(kStopSignals); ++i)
    ::sigaction(kStopSignals[i], &actions_before[i], nullptr);
  if (stop_signal_seen != 0) ::raise(stop_signal_seen);
}

bool stop_requested() { return stop_signal_seen != 0; }

}  // namespace pixart
