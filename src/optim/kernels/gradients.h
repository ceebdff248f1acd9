// What happens to gradients between backward and the optimizer: added to one float32 buffer, and squared. C++17, plain
// pointers, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cstdint>

#include "pixart/base/bfloat16_bits.h"

namespace pixart::optim::kernels {

// A gradient as backward made it, and its place in the flat buffer.
struct GradientPiece {
  const void* source;  // of `count` elements
  int64_t offset, count;
  int64_t first_tile;  // the index of its first sum in `partials`
  bool is_bfloat16;    // otherwise float32
  bool adds;           // to what is in the buffer; otherwise the buffer has no value yet
};

constexpr int kMostPieces = 64;          // of a launch: they are arguments of the kernel
constexpr int64_t kGradientTile = 8192;  // elements that a block adds, and whose squares are one sum
PIXART_HOST_DEVICE inline int64_t gradient_tiles(int64_t count) {
  return (count + kGradientTile - 1) / kGradientTile;
}

struct GradientPieces {
  GradientPiece pieces[kMostPieces];
  int count;
};

// Adds the pieces to `flat`, or copies them. With `partials`, the sum of the squares of the results of each tile is written
// to it (a piece has gradient_tiles(count) of them).
void gather_gradients_cpu(float* flat, const GradientPieces& pieces, double* partials);
// partials[i] <- the sum of the squares of tile i of values [count].
void tile_squares_cpu(const float* values, int64_t count, double* partials);
// A number on the device: one of the two, or 0 if both are null.
struct LossValue {
  const float* as_float;
  const double* as_double;
  PIXART_HOST_DEVICE double get() const {
    if (as_double != nullptr) return *as_double;
    return as_float != nullptr ? double(*as_float) : 0;
  }
};
// totals[0] <- the loss; totals[1] <- the sum of partials [count].
void totals_cpu(const LossValue& loss, const double* partials, int64_t count, double* totals);

// The same on the stream (a cudaStream_t) of the current device, one kernel each; the order of each sum depends on the sizes
// only. Returns null, or CUDA's description of the error of the launch. Defined if PIXART_WITH_CUDA is.
const char* gather_gradients_cuda(float* flat, const GradientPieces& pieces, double* partials, void* stream);
const char* tile_squares_cuda(const float* values, int64_t count, double* partials, void* stream);
const char* totals_cuda(const LossValue& loss, const double* partials, int64_t count, double* totals,
                        void* stream);

}  // namespace pixart::optim::kernels
