// Reads a part of a file, or reports why it cannot be read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "pixart/data/rejection.h"

namespace pixart::data {

struct ReadFault {
  Reason reason;
  std::string detail;
};

// Reads `bytes` bytes from `offset`; 0 bytes: the whole file, of at most 64 MiB. Throws ReadFault; and
// MachineFault, after some tries, if the machine is at fault.
std::string read_bytes(const std::filesystem::path& file, uint64_t offset, uint64_t bytes);

}  // namespace pixart::data
