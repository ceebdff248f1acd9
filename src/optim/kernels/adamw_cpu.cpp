#include <algorithm>
#include <cmath>
#include <type_traits>

#include "adamw_element.h"
#include "pixart/base/cpu_clones.h"

namespace pixart::optim::kernels {

namespace {

// `element` is a local copy, which the stores cannot change; otherwise nothing is vectorised.
template <bool kWithEma, class T>
PIXART_INLINE void adamw_loop(const AdamWBuffers<T>& buffers, const AdamWElement<T> element, T kept,
                              int64_t begin, int64_t end) {
  T* __restrict__ values = buffers.values;
  const T* __restrict__ gradients = buffers.gradients;
  T* __restrict__ exp_avg = buffers.exp_avg;
  T* __restrict__ exp_avg_sq = buffers.exp_avg_sq;
  T* __restrict__ ema = buffers.ema;
  const auto root = [](T x) { return std::sqrt(x); };
  for (int64_t i = begin; i < end; ++i) {
    element.update(values[i], gradients[i], exp_avg[i], exp_avg_sq[i], kept, root);
    if constexpr (kWithEma) ema[i] = element.average(ema[i], values[i]);
  }
}

template <class T>
PIXART_INLINE void adamw_loop(const AdamWBuffers<T>& buffers, const AdamWElement<T>& element, T kept,
                              int64_t begin, int64_t end) {
  if (buffers.ema != nullptr)
    adamw_loop<true>(buffers, element, kept, begin, end);
  else
    adamw_loop<false>(buffers, element, kept, begin, end);
}

template <class T>
PIXART_INLINE double sum_in_lanes(const T* values, int64_t begin, int64_t end) {
  constexpr int kLanes = 8;  // independent sums, which can be computed in vector lanes
  double sums[kLanes] = {};
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane)
      sums[lane] += double(values[i + lane]) * double(values[i + lane]);
  }
  for (int lane = 0; i < end; ++i, ++lane) sums[lane] += double(values[i]) * double(values[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

PIXART_CPU_CLONES void loop(const AdamWBuffers<float>& buffers, const AdamWElement<float>& element,
                            float kept, int64_t begin, int64_t end) {
  adamw_loop(buffers, element, kept, begin, end);
}
PIXART_CPU_CLONES void loop(const AdamWBuffers<double>& buffers, const AdamWElement<double>& element,
                            double kept, int64_t begin, int64_t end) {
  adamw_loop(buffers, element, kept, begin, end);
}

PIXART_CPU_CLONES double sum_of_squares(const float* values, int64_t begin, int64_t end) {
  return sum_in_lanes(values, begin, end);
}
PIXART_CPU_CLONES double sum_of_squares(const double* values, int64_t begin, int64_t end) {
  return sum_in_lanes(values, begin, end);
}

}  // namespace

template <class T>
void adamw_cpu(const AdamWBuffers<T>& buffers, const AdamWCoefficients& coefficients, int64_t begin,
               int64_t end) {
  const AdamWElement<T> element(coefficients);
  const int64_t border = std::clamp(coefficients.num_decayed, begin, end);
  loop(buffers, element, element.keep, begin, border);
  loop(buffers, element, T(1), border, end);
  if constexpr (std::is_same_v<T, float>)
    if (buffers.rounded != nullptr) round_cpu(buffers.rounded, buffers.values, begin, end);
}

void round_cpu(Bfloat16Bits* rounded, const float* values, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) rounded[i] = to_bfloat16(values[i]);
}

template <class T>
void ema_cpu(T* __restrict__ ema, const T* __restrict__ values, double decay, int64_t begin, int64_t end) {
  AdamWCoefficients coefficients{};
  coefficients.ema_decay = decay;
  const AdamWElement<T> element(coefficients);
  for (int64_t i = begin; i < end; ++i) ema[i] = element.average(ema[i], values[i]);
}

template <class T>
double sum_of_squares_cpu(const T* values, int64_t begin, int64_t end) {
  return sum_of_squares(values, begin, end);
}

template void adamw_cpu(const AdamWBuffers<float>&, const AdamWCoefficients&, int64_t, int64_t);
template void adamw_cpu(const AdamWBuffers<double>&, const AdamWCoefficients&, int64_t, int64_t);
template void ema_cpu(float*, const float*, double, int64_t, int64_t);
template void ema_cpu(double*, const double*, double, int64_t, int64_t);
template double sum_of_squares_cpu(const float*, int64_t, int64_t);
template double sum_of_squares_cpu(const double*, int64_t, int64_t);

}  // namespace pixart::optim::kernels
