#include <cmath>

#include "noising_element.h"

namespace pixart::diffusion::kernels {

namespace {

void sin_cos_pi(double x, double* sine, double* cosine) {
  constexpr long double kPi = 3.14159265358979323846264338327950288L;
  *sine = double(std::sin(kPi * x));
  *cosine = double(std::cos(kPi * x));
}

}  // namespace

void noising_cpu(const NoisingBuffers& buffers, const NoisingSizes& sizes) {
  for (int64_t image = 0; image < sizes.batch; ++image) {
    for (int64_t group = 0; group < groups_of(sizes); ++group) {
      const int count = elements_of(sizes, group);
      const auto load = [count](const float* from) {
        Four result{};
        for (int k = 0; k < count; ++k) result.values[k] = from[k];
        return result;
      };
      const auto store = [count](float* to, const Four& four) {
        for (int k = 0; k < count; ++k) to[k] = four.values[k];
      };
      noise_group(buffers, sizes, image, group, sin_cos_pi, load, store);
    }
  }
}

void normals_cpu(const int64_t* positions, float* out, const NoisingSizes& sizes) {
  for (int64_t image = 0; image < sizes.batch; ++image)
    for (int64_t group = 0; group < groups_of(sizes); ++group)
      draw_group(positions, out, sizes, image, group, sin_cos_pi);
}

}  // namespace pixart::diffusion::kernels
