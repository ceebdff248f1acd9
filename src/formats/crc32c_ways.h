// The implementations of crc32c(), for tests. All give the same result; the processor may not support each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixart::formats {

// Works on the register: without the inversion before and after.
using Crc32cWay = uint32_t (*)(uint32_t crc, const uint8_t* bytes, size_t count);

std::vector<Crc32cWay> crc32c_ways();  // those that this processor supports, the slowest first

}  // namespace pixart::formats
