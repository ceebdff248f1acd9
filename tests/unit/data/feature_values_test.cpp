#include "feature_values.h"

#include <ATen/ATen.h>
#include <c10/util/Float8_e4m3fn.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace pixart::data {
namespace {

TEST(FeatureValues, EveryHalfIsConvertedAsLibTorchDoes) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = uint16_t(i);
  std::vector<float> floats(halves.size());
  halves_to_floats(halves.data(), int64_t(halves.size()), floats.data());
  for (size_t i = 0; i < halves.size(); ++i) {
    const float expected = float(c10::Half(uint16_t(i), c10::Half::from_bits()));
    if (std::isnan(expected))
      ASSERT_TRUE(std::isnan(floats[i])) << i;
    else
      ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), std::bit_cast<uint32_t>(expected)) << i;
  }
}

TEST(FeatureValues, EveryFloat8TimesManyScalesIsRoundedAsLibTorchDoes) {
  std::vector<uint8_t> in(256);
  for (size_t i = 0; i < 256; ++i) in[i] = uint8_t(i);
  std::vector<uint16_t> out(256);
  for (uint32_t bits = 0; bits < 65536; bits += 7) {
    const float scale = float(c10::Half(uint16_t(bits), c10::Half::from_bits()));
    scaled_float8_to_bfloat16(in.data(), 256, scale, out.data());
    for (size_t i = 0; i < 256; ++i) {
      const float value = float(c10::Float8_e4m3fn(uint8_t(i), c10::Float8_e4m3fn::from_bits()));
      ASSERT_EQ(out[i], c10::BFloat16(value * scale).x) << i << " times " << scale;
    }
  }
}

}  // namespace
}  // namespace pixart::data
