// What the noise of an image is made from.
#pragma once
#include <cstdint>

namespace pixart::sample {

struct NoiseKey {
  uint64_t seed = 0;
  int64_t index = 0;
  bool operator==(const NoiseKey&) const = default;
};

}  // namespace pixart::sample
