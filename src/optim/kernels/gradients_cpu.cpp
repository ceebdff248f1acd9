#include <algorithm>

#include "gradients.h"

namespace pixart::optim::kernels {

namespace {

float source_of(const GradientPiece& piece, int64_t i) {
  return piece.is_bfloat16 ? to_float(static_cast<const Bfloat16Bits*>(piece.source)[i])
                           : static_cast<const float*>(piece.source)[i];
}

}  // namespace

void gather_gradients_cpu(float* flat, const GradientPieces& pieces, double* partials) {
  for (int p = 0; p < pieces.count; ++p) {
    const GradientPiece& piece = pieces.pieces[p];
    float* target = flat + piece.offset;
    for (int64_t i = 0; i < piece.count; ++i)
      target[i] = piece.adds ? target[i] + source_of(piece, i) : source_of(piece, i);
    if (partials != nullptr) tile_squares_cpu(target, piece.count, partials + piece.first_tile);
  }
}

void tile_squares_cpu(const float* values, int64_t count, double* partials) {
  for (int64_t tile = 0; tile < gradient_tiles(count); ++tile) {
    double sum = 0;
    for (int64_t i = tile * kGradientTile; i < std::min(count, (tile + 1) * kGradientTile); ++i)
      sum += double(values[i]) * double(values[i]);
    partials[tile] = sum;
  }
}

void totals_cpu(const LossValue& loss, const double* partials, int64_t count, double* totals) {
  totals[0] = loss.get();
  totals[1] = 0;
  for (int64_t i = 0; i < count; ++i) totals[1] += partials[i];
}

}  // namespace pixart::optim::kernels
