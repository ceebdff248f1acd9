// CAME on flat buffers, for all parameters in a fixed number of passes. C++17, plain pointers, no LibTorch, because nvcc
// compiles this, too.
#pragma once
#include <cstdint>
#include <vector>

#include "clip.h"
#include "pixart/base/bfloat16_bits.h"

namespace pixart::optim::kernels {

// The numbers of one step, the same for all elements.
struct CameElement {
  float gradient_scale;  // clip factor
  float keep;            // 1 - lr * weight_decay, of parameters with decay
  float lr;
  float beta1, rest1, beta2, rest2, beta3, rest3;
  float eps, residual_eps, clip_threshold;
  float ema_decay, ema_rest;
};

// A parameter in the flat buffers: a stack of matrices, or a vector, which counts as one matrix of rows of kCameSide.
struct CameParameter {
  int64_t offset, count;  // of its elements
  int64_t matrices, rows, columns;
  int64_t is_factored, decays;
  // In `moments`: of the squared gradient the means of all rows, then of all columns, and the same of the residual; of a vector
  // the second moment.
  int64_t moments;
  int64_t roots;  // in `roots`: factors of all rows, then of all columns
  int64_t row_sums,
      column_sums;  // in `sums`: [matrix][tile in a row][row], [matrix][tile in a column][column]
  int64_t first_tile, first_stack;
};

constexpr int kCameSide = 128;      // rows and columns of a tile
constexpr int kCameStack = 256;     // small matrices in a tile
constexpr int64_t kCameSmall = 64;  // elements of a small matrix
PIXART_HOST_DEVICE inline int64_t came_parts(int64_t size) { return (size + kCameSide - 1) / kCameSide; }
PIXART_HOST_DEVICE inline bool came_is_stack(const CameParameter& p) {
  return p.matrices > 1 && p.rows * p.columns <= kCameSmall;
}

struct CameShape {
  int64_t offset, matrices, rows, columns;  // a vector: 1, 1, its size
  bool is_factored, decays;
};

// What the kernels know about the parameters, and how large their buffers are.
struct CameLayout {
  std::vector<CameParameter> parameters;
  std::vector<int32_t> tiles;   // of each tile, its parameter
  std::vector<int32_t> stacks;  // of each matrix, or kCameStack small ones, of the factored parameters
  int64_t moments = 0, roots = 0, sums = 0;
};
CameLayout came_layout(const std::vector<CameShape>& shapes);

struct CameBuffers {
  const CameElement* element;
  DeviceNorm norm;  // takes the place of the element's clip factor
  const CameParameter* parameters;
  const int32_t* tiles;
  const int32_t* stacks;
  float* values;
  const float* gradients;
  float* exp_avg;
  float* ema;             // may be null
  Bfloat16Bits* rounded;  // may be null
  float* moments;
  float *roots, *sums;  // scratch, as are the next
  double* squares;      // of the updates of each tile
  float* limits;        // by which each parameter's update is divided
};

// One update of all parameters, by plain loops in double: what the kernels are compared with. Uses no scratch.
void came_cpu(const CameBuffers& buffers, int64_t parameters);

// The same on the stream (a cudaStream_t) of the current device, in kCameLaunches kernels; the order of each sum depends on the
// shapes only. All pointers are to memory of the device. Returns null, or CUDA's description of the error of a launch. Defined if
// PIXART_WITH_CUDA is.
constexpr int kCameLaunches = 7;
const char* came_cuda(const CameBuffers& buffers, const CameLayout& layout, void* stream);

}  // namespace pixart::optim::kernels
