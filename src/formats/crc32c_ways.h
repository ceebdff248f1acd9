// The ways in which crc32c() computes, for tests: the same number each, where the processor has it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixart::formats {

// On the register: without the inversion before and after.
using Crc32cWay = uint32_t (*)(uint32_t crc, const uint8_t* bytes, size_t count);

std::vector<Crc32cWay> crc32c_ways();  // that this processor has, the slowest first

}  // namespace pixart::formats
