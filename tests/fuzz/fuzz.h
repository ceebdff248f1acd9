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

}  // namespace pixart::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
