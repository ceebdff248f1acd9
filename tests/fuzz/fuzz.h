// What the fuzz targets share. A UserError is the only answer to a bad input besides success: anything else
// leaves the target and is a finding.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "pixart/base/error.h"

namespace pixart::fuzz {

inline std::string_view as_text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

template <class Work>
void accept_or_refuse(Work work) {
  try {
    work();
  } catch (const UserError&) {
  }
}

// A file in memory that holds the input, for readers that take a path. One for all inputs: its path is the
// same.
inline std::filesystem::path file_of(const uint8_t* data, size_t size) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  const bool is_written = descriptor >= 0 && ::ftruncate(descriptor, 0) == 0 &&
                          ::pwrite(descriptor, data, size, 0) == ssize_t(size);
  if (!is_written) std::abort();
  return "/proc/self/fd/" + std::to_string(descriptor);
}

// The same under a name with an ending, for readers that tell files by it.
inline std::filesystem::path file_of(const uint8_t* data, size_t size, const std::string& ending) {
  const auto name = "pixart-fuzz-" + std::to_string(::getpid()) + "." + ending;
  const auto link = std::filesystem::temp_directory_path() / name;
  std::filesystem::remove(link);  // of an earlier process
  std::filesystem::create_symlink(file_of(data, size), link);
  return link;
}

}  // namespace pixart::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
