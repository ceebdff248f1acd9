// The supported element types of the safetensors format, in the order of the reference library (its writer
// sorts by it). Types of less than a byte are left out on purpose, because most readers do not support them.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pixart::formats {

struct Dtype {
  std::string_view name;
  int bits;
};

inline constexpr std::array<Dtype, 19> kDtypes = {{{"BOOL", 8},
                                                   {"U8", 8},
                                                   {"I8", 8},
                                                   {"F8_E5M2", 8},
                                                   {"F8_E4M3", 8},
                                                   {"F8_E8M0", 8},
                                                   {"F8_E4M3FNUZ", 8},
                                                   {"F8_E5M2FNUZ", 8},
                                                   {"I16", 16},
                                                   {"U16", 16},
                                                   {"F16", 16},
                                                   {"BF16", 16},
                                                   {"I32", 32},
                                                   {"U32", 32},
                                                   {"F32", 32},
                                                   {"C64", 64},
                                                   {"F64", 64},
                                                   {"I64", 64},
                                                   {"U64", 64}}};

// The bytes of an array with elements of `bytes`; nothing if the product overflows, even if a size of 0 makes
// it 0, because strides are computed from the shape.
inline std::optional<uint64_t> array_bytes(const std::vector<int64_t>& shape, int64_t bytes) {
  bool overflow = false, is_empty = false;
  for (const int64_t side : shape) {
    is_empty |= side == 0;
    overflow |= __builtin_mul_overflow(bytes, std::max<int64_t>(side, 1), &bytes);
  }
  return overflow ? std::nullopt : std::optional(is_empty ? 0 : uint64_t(bytes));
}

// A bool tensor with any other byte has undefined behaviour in programs that read it.
inline bool all_bools(const void* bytes, uint64_t count) {
  const auto* first = static_cast<const uint8_t*>(bytes);
  return std::all_of(first, first + count, [](uint8_t byte) { return byte <= 1; });
}

}  // namespace pixart::formats
