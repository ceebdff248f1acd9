#pragma once

namespace pixart::plan {

// Bytes of one value.
inline constexpr double kFloat = 4, kBfloat16 = 2;

}  // namespace pixart::plan
