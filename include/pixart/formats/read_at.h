// How a file is read that is not on a disk of this machine.
#pragma once
#include <cstdint>
#include <functional>

namespace pixart::formats {

// Reads exactly `count` bytes from `offset`, or throws.
using ReadAt = std::function<void(char* to, uint64_t count, uint64_t offset)>;

}  // namespace pixart::formats
