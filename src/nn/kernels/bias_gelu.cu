#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

constexpr int kGeluRows = 2;         // that a thread reads at once
constexpr int64_t kManyRows = 8192;  // of which parts of twice the rows still give every multiprocessor some

int gelu_part_rows(const ImageRows& rows) {
  return rows.images * rows.tokens < kManyRows ? kPartRows : 2 * kPartRows;
}

// As exponential.h: the argument is limited, so that nothing overflows; NaN times x stays NaN.
struct FastLogistic {
  __device__ Share operator()(float x) const {
    const float e = __expf(fmaxf(fminf(-x, 60.0F), -60.0F)), part = __fdividef(1.0F, 1.0F + e);
    return {part, e * part};  // 1 - part would lose the digits of a small rest
  }
};

template <class T>
__global__ void __launch_bounds__(kTileWarps* kLanes, kTileBlocks)
    bias_gelu_kernel(const T* x, const float* bias, T* out, ImageRows rows, int part_rows) {
  const Part part(rows, part_rows);
  const Place place = place_in_tile(rows.width);
  const Eight offset = read(bias, place, part.first < part.end);
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kGeluRows) {
    const int64_t at = part.at + row * rows.width;
    Eight values[kGeluRows];
    PIXART_UNROLL()
    for (int r = 0; r < kGeluRows; ++r) values[r] = read(x + at + r * rows.width, place, row + r < part.end);
    PIXART_UNROLL()
    for (int r = 0; r < kGeluRows; ++r) {
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) values[r].v[i] = gelu(values[r].v[i] + offset.v[i], FastLogistic());
      write(out + at + r * rows.width, place, values[r], row + r < part.end);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kTileWarps* kLanes, kTileBlocks)
    bias_gelu_backward_kernel(const T* x, const float* bias, const T* gradient, BiasGeluGradients<T> to,
                              ImageRows rows, int part_rows) {
  const Part part(rows, part_rows);
  const Place place = place_in_tile(rows.width);
  const Eight offset = read(bias, place, part.first < part.end);
  Eight sums = {};
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kGeluRows) {
    const int64_t at = part.at + row * rows.width;
    Eight values[kGeluRows], down[kGeluRows];
    PIXART_UNROLL()
    for (int r = 0; r < kGeluRows; ++r) {
      values[r] = read(x + at + r * rows.width, place, row + r < part.end);
      down[r] = read(gradient + at + r * rows.width, place, row + r < part.end);
    }
    PIXART_UNROLL()
    for (int r = 0; r < kGeluRows; ++r) {
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) {
        down[r].v[i] *= gelu_slope(values[r].v[i] + offset.v[i], FastLogistic());
        sums.v[i] += down[r].v[i];
      }
      write(to.x + at + r * rows.width, place, down[r], row + r < part.end);
    }
  }
  if (to.parts != nullptr)
    write(to.parts + int64_t(blockIdx.x) * rows.width, place, sums, part.first < part.end);
}

}  // namespace

int64_t gelu_parts_of(const ImageRows& rows) {
  const int64_t part_rows = gelu_part_rows(rows);
  return (rows.tokens + part_rows - 1) / part_rows;
}

template <class T>
const char* bias_gelu_cuda(const T* x, const float* bias, T* out, const ImageRows& rows, void* stream) {
  const int part_rows = forward_rows(rows, kGeluRows);
  const Blocks blocks = blocks_for(rows, part_rows, kTileWarps);
  bias_gelu_kernel<T>
      <<<blocks.grid, blocks.threads, 0, static_cast<cudaStream_t>(stream)>>>(x, bias, out, rows, part_rows);
  return launch_error();
}

template <class T>
const char* bias_gelu_backward_cuda(const T* x, const float* bias, const T* gradient,
                                    const BiasGeluGradients<T>& to, const ImageRows& rows, void* stream) {
  const int part_rows = gelu_part_rows(rows);
  const Blocks blocks = blocks_for(rows, part_rows, kTileWarps);
  bias_gelu_backward_kernel<T><<<blocks.grid, blocks.threads, 0, static_cast<cudaStream_t>(stream)>>>(
      x, bias, gradient, to, rows, part_rows);
  return launch_error();
}

#define PIXART_INSTANTIATE(T)                                                               \
  template const char* bias_gelu_cuda(const T*, const float*, T*, const ImageRows&, void*); \
  template const char* bias_gelu_backward_cuda(const T*, const float*, const T*,            \
                                               const BiasGeluGradients<T>&, const ImageRows&, void*);
PIXART_INSTANTIATE(float)
PIXART_INSTANTIATE(Bfloat16)
#undef PIXART_INSTANTIATE

}  // namespace pixart::nn::kernels
