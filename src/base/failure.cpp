#include "pixart/base/failure.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

#include "pixart/base/machine.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"

namespace pixart {

const char* const kOutOfMemory =
    "error  there is too little memory. Lower micro_batch_size or loader.threads, or start fewer processes.\n";

namespace {

constexpr const char* kMemoryRemedy =
    "Lower micro_batch_size or loader.threads, set activation_checkpointing: 1, or with several ranks "
    "optimizer.shard; `pixart plan RUN.yaml` says what a stage needs.";
constexpr const char* kMemoryRemedyWithoutRun =
    "Start fewer processes at a time, or raise the limit of memory of this one.";

std::atomic<bool> has_run = true;

// LibTorch on a CPU, LibTorch on a GPU, oneDNN, OpenCV.
constexpr std::array<std::string_view, 5> kMemoryWords = {"DefaultCPUAllocator: ", "not enough memory",
                                                          "out of memory", "could not create a primitive",
                                                          "Insufficient memory"};

bool is_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const UserError*>(&error) != nullptr) return false;
  const std::string_view words = error.what();
  return std::any_of(kMemoryWords.begin(), kMemoryWords.end(),
                     [&](auto known) { return words.find(known) != std::string_view::npos; });
}

// The number after "tried to allocate ", as LibTorch says it; 0: unknown.
uint64_t wanted_bytes(std::string_view words) {
  constexpr std::string_view kBefore = "tried to allocate ";
  const size_t at = words.find(kBefore);
  if (at == std::string_view::npos) return 0;
  return std::strtoull(std::string(words.substr(at + kBefore.size(), 20)).c_str(), nullptr, 10);
}

std::string limit_text() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return fmt::format("; this process may use {} (ulimit -v)", human_bytes(limit.rlim_cur));
}

// LibTorch's messages carry a backtrace after the first line.
std::string memory_text(std::string_view words) {
  const uint64_t wanted = wanted_bytes(words);
  const std::string asked = wanted > 0 ? fmt::format("{} were asked for", human_bytes(wanted))
                                       : std::string(words.substr(0, words.find('\n')));
  return fmt::format("there is too little memory: {}; {} of main memory are free{}. {}", asked,
                     human_bytes(available_memory_bytes()), limit_text(),
                     has_run ? kMemoryRemedy : kMemoryRemedyWithoutRun);
}

std::string thread_text() {
  return fmt::format(
      "the system starts no more threads for this process: {}. Raise the limit (ulimit -u, or that of the "
      "container), or lower threads and loader.threads.",
      std::generic_category().message(EAGAIN));
}

bool is_of_threads(const std::system_error& error) {
  return error.code() == std::errc::resource_unavailable_try_again;
}

// The number of the error, 0 if it is not of the system.
int number_of(const std::error_code& code) {
  return code.category() == std::generic_category() || code.category() == std::system_category()
             ? code.value()
             : 0;
}

Failure of_path(const std::filesystem::path& path, int error) {
  if (is_machine_fault(error)) {
    const MachineFault fault(path, error);
    return {fault.code(), fault.what()};
  }
  const bool is_storage = error == ENOSPC || error == EDQUOT || error == EROFS;
  const char* remedy =
      error == EACCES || error == EPERM ? " Change its permissions, or choose a path that you may use." : "";
  return {is_storage ? ExitCode::kStorage : ExitCode::kBadInput,
          fmt::format("cannot use {}: {}.{}", path.string(), std::generic_category().message(error), remedy)};
}

}  // namespace

void set_remedies_of_run(bool are_named) { has_run = are_named; }

bool is_shortage(const std::exception& error) {
  if (is_of_memory(error)) return true;
  const auto* of_system = dynamic_cast<const std::system_error*>(&error);
  return of_system != nullptr && (is_of_threads(*of_system) || is_shortage(number_of(of_system->code())));
}

Failure explain(const std::exception& error) {
  if (const auto* known = dynamic_cast<const UserError*>(&error)) return {known->code(), known->what()};
  if (is_of_memory(error)) return {ExitCode::kDevice, memory_text(error.what())};
  if (const auto* of_path_error = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return of_path(of_path_error->path1(), number_of(of_path_error->code()));
  const auto* of_system = dynamic_cast<const std::system_error*>(&error);
  if (of_system != nullptr && is_of_threads(*of_system)) return {ExitCode::kDevice, thread_text()};
  if (is_shortage(error))
    return {ExitCode::kDevice, fmt::format("{}. {}", error.what(), remedy_of(number_of(of_system->code())))};
  return {ExitCode::kInternal, fmt::format("internal error (please report it): {}", error.what())};
}

}  // namespace pixart
