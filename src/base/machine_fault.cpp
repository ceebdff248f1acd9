#include "pixart/base/machine_fault.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "pixart/base/log.h"

namespace pixart {

namespace {

constexpr std::array<int, 19> kMachine = {EIO,          ESTALE,       ENOMEM,   ENOBUFS,     EMFILE,
                                          ENFILE,       ETIMEDOUT,    ENOTCONN, ECONNRESET,  ESHUTDOWN,
                                          EHOSTDOWN,    EHOSTUNREACH, ENETDOWN, ENETUNREACH, ECONNREFUSED,
                                          ECONNABORTED, EREMOTEIO,    ENOLINK,  ECOMM};

bool is_of_files(int error_number) { return error_number == EMFILE || error_number == ENFILE; }

}  // namespace

bool is_shortage(int error_number) {
  return error_number == ENOMEM || error_number == ENOBUFS || is_of_files(error_number);
}

const char* remedy_of(int error_number) {
  if (is_of_files(error_number))
    return "Raise the limit of open files (ulimit -n), or lower loader.threads and threads.";
  if (is_shortage(error_number)) return "The machine has too little memory; start fewer processes on it.";
  return "The disk or its file server has a fault; start the same command again when it answers.";
}

const char* reason_of(int error_number) {
  return error_number == ENXIO || error_number == ESPIPE ? "it is not a regular file"
                                                         : std::strerror(error_number);
}

bool is_machine_fault(int error_number) {
  return std::find(kMachine.begin(), kMachine.end(), error_number) != kMachine.end();
}

MachineFault::MachineFault(const std::filesystem::path& path, int error_number)
    : UserError(fmt::format("cannot read {}: {}. {}", path.string(), std::strerror(error_number),
                            remedy_of(error_number)),
                is_shortage(error_number) ? ExitCode::kDevice : ExitCode::kStorage) {}

MachineFault MachineFault::no_memory(const std::string& what) {
  return MachineFault(fmt::format("cannot {}: {}. {}", what, std::strerror(ENOMEM), remedy_of(ENOMEM)),
                      ExitCode::kDevice);
}

MachineFault MachineFault::lasting(const std::string& message, ExitCode code) {
  MachineFault fault(message, code);
  fault.is_lasting_ = true;
  return fault;
}

void check_machine(const std::filesystem::path& path, int error_number) {
  if (is_machine_fault(error_number)) throw MachineFault(path, error_number);
}

void retry_machine_faults(const std::string& what, const std::function<void()>& work) {
  constexpr int kTries = 5;
  thread_local bool is_within = false;  // only the outermost call tries again
  if (is_within) return work();
  struct Within {
    Within() { is_within = true; }
    ~Within() { is_within = false; }
  } within;
  std::chrono::milliseconds pause{50};
  for (int attempt = 1;; ++attempt, pause *= 4) {
    try {
      return work();
    } catch (const MachineFault& fault) {
      if (attempt == kTries || fault.is_lasting()) throw;
      if (attempt == 1) log::warning("{} It is tried again.", fault.what());
    } catch (const std::bad_alloc&) {
      if (attempt == kTries) throw MachineFault::no_memory(what);
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace pixart
