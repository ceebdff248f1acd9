#include "attention_cpu.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "exponential.h"
#include "pixart/base/cpu_clones.h"

namespace pixart::nn::kernels {

namespace {

// Queries that are computed together, one in each lane: sums over keys then need no sum over lanes.
constexpr int64_t kLanes = 16;
// Rows of a product that are computed together: their sums stay in the registers.
constexpr int kRowsOf16Registers = 4, kRowsOf32Registers = 8;
constexpr int64_t kTile = 8;  // side of the squares that are transposed in registers

// The compiler makes several registers of one where the processor's are narrower; the order of sums stays the
// same.
using Vector [[gnu::vector_size(sizeof(float) * kLanes), gnu::aligned(sizeof(float)), gnu::may_alias]] =
    float;
using TileRow [[gnu::vector_size(sizeof(float) * kTile), gnu::aligned(sizeof(float)), gnu::may_alias]] =
    float;
using TileMask [[gnu::vector_size(sizeof(int32_t) * kTile)]] = int32_t;

constexpr int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

PIXART_INLINE Vector& vector_at(float* place) { return *reinterpret_cast<Vector*>(place); }
PIXART_INLINE const Vector& vector_at(const float* place) { return *reinterpret_cast<const Vector*>(place); }

// A matrix whose element (i, j) is at data[i * row + j * col].
struct Matrix {
  const float* data;
  int64_t row, col;
  PIXART_INLINE Matrix below(int64_t i) const { return {data + i * row, row, col}; }
};

enum class Write { kNew, kAdd };

// One vector of columns: c [R, kLanes] = a [R, inner] b [inner, kLanes], or its sum with c.
template <int R, Write kWrite>
PIXART_INLINE void multiply_rows(Matrix a, ConstRows b, MutableRows c, int64_t inner) {
  Vector sums[R] = {};
  for (int64_t k = 0; k < inner; ++k) {
    const Vector& values = vector_at(b.data + k * b.stride);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sums[r] += a.data[r * a.row + k * a.col] * values;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    Vector& to = vector_at(c.data + r * c.stride);
    to = kWrite == Write::kAdd ? to + sums[r] : sums[r];
  }
}

template <int R, Write kWrite>
PIXART_INLINE void multiply(Matrix a, ConstRows b, MutableRows c, int64_t rows, int64_t inner) {
  int64_t i = 0;
  for (; i + R <= rows; i += R)
    multiply_rows<R, kWrite>(a.below(i), b, {c.data + i * c.stride, c.stride}, inner);
  for (; i < rows; ++i) multiply_rows<1, kWrite>(a.below(i), b, {c.data + i * c.stride, c.stride}, inner);
}

// [kTile, kTile] in registers: squares of 1, 2 and 4 off the diagonal change places.
template <int kSide>
PIXART_INLINE void exchange_squares(TileRow (&rows)[kTile]) {
  TileMask low{}, high{};
#pragma GCC unroll 16
  for (int lane = 0; lane < kTile; ++lane) {
    low[lane] = (lane & kSide) != 0 ? kTile + lane - kSide : lane;
    high[lane] = (lane & kSide) != 0 ? kTile + lane : lane + kSide;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) {
    if ((i & kSide) != 0) continue;
    const TileRow a = rows[i], b = rows[i + kSide];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + kSide] = __builtin_shuffle(a, b, high);
  }
}

PIXART_INLINE void transpose_tile(ConstRows from, MutableRows to) {
  TileRow rows[kTile];
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) rows[i] = *reinterpret_cast<const TileRow*>(from.data + i * from.stride);
  exchange_squares<1>(rows);
  exchange_squares<2>(rows);
  exchange_squares<4>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) *reinterpret_cast<TileRow*>(to.data + i * to.stride) = rows[i];
}

// [rows, cols] -> [cols, rows]
PIXART_INLINE void transpose(ConstRows from, MutableRows to, int64_t rows, int64_t cols) {
  const int64_t whole_rows = rows / kTile * kTile, whole_cols = cols / kTile * kTile;
  for (int64_t i = 0; i < whole_rows; i += kTile)
    for (int64_t j = 0; j < whole_cols; j += kTile)
      transpose_tile({from.data + i * from.stride + j, from.stride},
                     {to.data + j * to.stride + i, to.stride});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; ++j)
      to.data[j * to.stride + i] = from.data[i * from.stride + j];
}

// [count, size] -> [size, kLanes], with zeros in the other lanes.
PIXART_INLINE void into_lanes(ConstRows from, int64_t count, int64_t size, float* to) {
  if (count < kLanes) std::fill_n(to, size * kLanes, 0.0F);
  transpose(from, {to, kLanes}, count, size);
}

// Rows that are read in whole vectors; copied with zeros at their ends if they have no whole number of them.
PIXART_INLINE ConstRows whole_vectors(ConstRows from, int64_t rows, int64_t size, float* copy) {
  const int64_t width = padded(size);
  if (width == size) return from;
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(from.data + i * from.stride, size, copy + i * width);
    std::fill_n(copy + i * width + size, width - size, 0.0F);
  }
  return {copy, width};
}

// Between copied rows: an odd number of cache lines, so that equal columns of many rows do not push each other out of the
// cache.
PIXART_INLINE int64_t copied_stride(int64_t size) { return (padded(size) / kLanes | 1) * kLanes; }

PIXART_INLINE ConstRows copied(ConstRows from, int64_t rows, int64_t size, float* copy) {
  const int64_t stride = copied_stride(size);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from.data + i * from.stride, size, copy + i * stride);
  return {copy, stride};
}

// scores [keys, kLanes] -> e^(score * scale - largest); NaN stays NaN.
PIXART_INLINE void exponentials(float* scores, int64_t keys, float scale, const float* largest) {
  for (int64_t j = 0; j < keys; ++j, scores += kLanes) {
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float z = scores[lane] * scale - largest[lane];
      scores[lane] = exponential(limited(z)) + 0 * z;
    }
  }
}

PIXART_INLINE void find_largest(const float* scores, int64_t keys, float scale, float* largest) {
  Vector most = vector_at(scores);
  for (int64_t j = 1; j < keys; ++j) {
    const Vector& next = vector_at(scores + j * kLanes);
    most = next > most ? next : most;
  }
  vector_at(largest) = most * scale;
}

PIXART_INLINE void invert_sums(const float* weights, int64_t keys, float* inverse) {
  Vector sum = vector_at(weights);
  for (int64_t j = 1; j < keys; ++j) sum += vector_at(weights + j * kLanes);
  vector_at(inverse) = 1 / sum;
}

// Parts of one piece of memory.
class Parts {
 public:
  explicit Parts(std::vector<float>& memory) : memory_(memory) {}
  int64_t add(int64_t count) { return std::exchange(size_, size_ + padded(count)); }
  float* make() {
    if (int64_t(memory_.size()) < size_) memory_.resize(size_t(size_));
    return memory_.data();
  }

 private:
  std::vector<float>& memory_;
  int64_t size_ = 0;
};

float scale_of(const Head& head) { return 1 / std::sqrt(float(head.size)); }

template <int R>
PIXART_INLINE void attend(const Head& head, MutableRows out, Softmax softmax, std::vector<float>& scratch) {
  const int64_t size = head.size, keys = head.keys;
  Parts parts(scratch);
  const int64_t q_at = parts.add(size * kLanes), scores_at = parts.add(keys * kLanes),
                k_at = parts.add(keys * copied_stride(size)), v_at = parts.add(keys * copied_stride(size));
  float *const q = parts.make() + q_at, *const scores = scratch.data() + scores_at, *const mix = q;
  const ConstRows k = copied(head.k, keys, size, scratch.data() + k_at),
                  v = copied(head.v, keys, size, scratch.data() + v_at);
  const float scale = scale_of(head);
  for (int64_t first = 0; first < head.queries; first += kLanes) {
    const int64_t count = std::min(kLanes, head.queries - first);
    float largest[kLanes], inverse[kLanes];
    into_lanes({head.q.data + first * head.q.stride, head.q.stride}, count, size, q);
    multiply<R, Write::kNew>({k.data, k.stride, 1}, {q, kLanes}, {scores, kLanes}, keys, size);
    find_largest(scores, keys, scale, largest);
    exponentials(scores, keys, scale, largest);
    invert_sums(scores, keys, inverse);
    multiply<R, Write::kNew>({v.data, 1, v.stride}, {scores, kLanes}, {mix, kLanes}, size, keys);
    for (int64_t c = 0; c < size; ++c) vector_at(mix + c * kLanes) *= vector_at(inverse);
    transpose({mix, kLanes}, {out.data + first * out.stride, out.stride}, size, count);
    std::copy_n(largest, count, softmax.largest + first);
    std::copy_n(inverse, count, softmax.inverse + first);
  }
}

template <int R>
PIXART_INLINE void attend_backward(const Head& head, ConstRows out, Softmax softmax, ConstRows gradient,
                                   const HeadGradients& to, std::vector<float>& scratch) {
  const int64_t size = head.size, width = padded(size), keys = head.keys;
  Parts parts(scratch);
  const int64_t q_at = parts.add(size * kLanes), down_at = parts.add(size * kLanes),
                out_at = parts.add(size * kLanes), weights_at = parts.add(keys * kLanes),
                slopes_at = parts.add(keys * kLanes), q_rows_at = parts.add(width * kLanes),
                down_rows_at = parts.add(width * kLanes), to_k_at = parts.add(keys * width),
                to_v_at = parts.add(keys * width), k_at = parts.add(keys * copied_stride(size)),
                v_at = parts.add(keys * copied_stride(size));
  float *const memory = parts.make(), *const q = memory + q_at, *const down = memory + down_at,
               *const own = memory + out_at, *const weights = memory + weights_at,
               *const slopes = memory + slopes_at, *const to_k = memory + to_k_at,
               *const to_v = memory + to_v_at;
  const ConstRows k = copied(head.k, keys, size, memory + k_at),
                  v = copied(head.v, keys, size, memory + v_at);
  std::fill_n(to_k, keys * width, 0.0F);
  std::fill_n(to_v, keys * width, 0.0F);
  const float scale = scale_of(head);
  for (int64_t first = 0; first < head.queries; first += kLanes) {
    const int64_t count = std::min(kLanes, head.queries - first);
    const auto block = [&](ConstRows rows) {
      return ConstRows{rows.data + first * rows.stride, rows.stride};
    };
    float largest[kLanes] = {}, inverse[kLanes] = {};
    std::copy_n(softmax.largest + first, count, largest);
    std::copy_n(softmax.inverse + first, count, inverse);
    into_lanes(block(head.q), count, size, q);
    into_lanes(block(gradient), count, size, down);
    into_lanes(block(out), count, size, own);
    Vector agreement{};  // of the output and its gradient
    for (int64_t c = 0; c < size; ++c)
      agreement += vector_at(own + c * kLanes) * vector_at(down + c * kLanes);
    multiply<R, Write::kNew>({k.data, k.stride, 1}, {q, kLanes}, {weights, kLanes}, keys, size);
    multiply<R, Write::kNew>({v.data, v.stride, 1}, {down, kLanes}, {slopes, kLanes}, keys, size);
    exponentials(weights, keys, scale, largest);
    for (int64_t j = 0; j < keys; ++j) {
      Vector &weight = vector_at(weights + j * kLanes), &slope = vector_at(slopes + j * kLanes);
      weight *= vector_at(inverse);
      slope = weight * (slope - agreement) * scale;
    }
    multiply<R, Write::kNew>({k.data, 1, k.stride}, {slopes, kLanes}, {q, kLanes}, size, keys);
    transpose({q, kLanes}, {to.q.data + first * to.q.stride, to.q.stride}, size, count);
    const ConstRows q_rows = whole_vectors(block(head.q), count, size, memory + q_rows_at),
                    down_rows = whole_vectors(block(gradient), count, size, memory + down_rows_at);
    for (int64_t c = 0; c < width; c += kLanes) {
      multiply<R, Write::kAdd>({slopes, kLanes, 1}, {q_rows.data + c, q_rows.stride}, {to_k + c, width}, keys,
                               count);
      multiply<R, Write::kAdd>({weights, kLanes, 1}, {down_rows.data + c, down_rows.stride},
                               {to_v + c, width}, keys, count);
    }
  }
  for (int64_t j = 0; j < keys; ++j) {
    std::copy_n(to_k + j * width, size, to.k.data + j * to.k.stride);
    std::copy_n(to_v + j * width, size, to.v.data + j * to.v.stride);
  }
}

}  // namespace

PIXART_CPU_CLONES void attention(const Head& head, MutableRows out, Softmax softmax,
                                 std::vector<float>& scratch) {
  if (base::kHas32VectorRegisters) return attend<kRowsOf32Registers>(head, out, softmax, scratch);
  attend<kRowsOf16Registers>(head, out, softmax, scratch);
}

PIXART_CPU_CLONES void attention_backward(const Head& head, ConstRows out, Softmax softmax,
                                          ConstRows gradient, const HeadGradients& to,
                                          std::vector<float>& scratch) {
  if (base::kHas32VectorRegisters)
    return attend_backward<kRowsOf32Registers>(head, out, softmax, gradient, to, scratch);
  attend_backward<kRowsOf16Registers>(head, out, softmax, gradient, to, scratch);
}

}  // namespace pixart::nn::kernels
