#include <cstdint>

#include "came_element.h"
#include "cuda_blocks.h"

namespace pixart::optim::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpThreads;
constexpr int kOfLane = kCameSide / kWarpThreads;  // columns
static_assert(kCameStack == kThreads, "a thread for each small matrix");

__device__ CameElement numbers_of(const CameBuffers& b) {
  CameElement e = *b.element;
  e.gradient_scale = b.norm.factor(e.gradient_scale);
  return e;
}

// A piece of a matrix of at most kCameSide rows and columns. The warps take turns at rows; a lane has the same columns of each.
struct Tile {
  int64_t matrix, row_part, column_part;
  int64_t first_row, end_row, first_column;
};

__device__ Tile tile_of(const CameParameter& p, int64_t index) {
  const int64_t across = came_parts(p.columns), down = came_parts(p.rows);
  Tile tile;
  tile.matrix = index / (across * down);
  tile.row_part = index / across % down;
  tile.column_part = index % across;
  tile.first_row = tile.row_part * kCameSide;
  tile.end_row = tile.first_row + kCameSide < p.rows ? tile.first_row + kCameSide : p.rows;
  tile.first_column = tile.column_part * kCameSide;
  return tile;
}

// An element, by its index in the parameter and those of its row and column among all of the parameter.
struct Place {
  int64_t element, row, column;
};

// Calls use(place) for the elements of this thread in tile `index` of the parameter.
template <class Use>
__device__ void for_own_elements(const CameParameter& p, int64_t index, const Use& use) {
  if (came_is_stack(p)) {
    const int64_t matrix = index * kCameStack + threadIdx.x, size = p.rows * p.columns;
    if (matrix >= p.matrices) return;
    for (int64_t i = 0; i < size; ++i)
      use(Place{matrix * size + i, matrix * p.rows + i / p.columns, matrix * p.columns + i % p.columns});
    return;
  }
  const Tile tile = tile_of(p, index);
  const int lane = int(threadIdx.x % kWarpThreads);
  for (int64_t r = tile.first_row + threadIdx.x / kWarpThreads; r < tile.end_row; r += kWarps) {
    const int64_t row = tile.matrix * p.rows + r;
    for (int k = 0; k < kOfLane; ++k) {
      const int64_t c = tile.first_column + lane + k * kWarpThreads;
      const int64_t element = row * p.columns + c;
      if (c < p.columns && element < p.count) use(Place{element, row, tile.matrix * p.columns + c});
    }
  }
}

// Writes the sums of value(place) over the rows and the columns of the tile.
template <class Value>
__device__ void sum_small_matrices(const CameParameter& p, int64_t index, float* sums, const Value& value) {
  const int64_t matrix = index * kCameStack + threadIdx.x;
  if (matrix >= p.matrices) return;
  float* columns = sums + p.column_sums + matrix * p.columns;
  for (int64_t r = 0; r < p.rows; ++r) {
    const int64_t row = matrix * p.rows + r;
    float sum = 0;
    for (int64_t c = 0; c < p.columns; ++c) {
      const float one = value(Place{row * p.columns + c, row, matrix * p.columns + c});
      sum += one;
      columns[c] = r == 0 ? one : columns[c] + one;
    }
    sums[p.row_sums + row] = sum;
  }
}

template <class Value>
__device__ void sum_tile(const CameParameter& p, int64_t index, float* sums, const Value& value) {
  __shared__ float of_warps[kWarps][kCameSide];
  if (came_is_stack(p)) return sum_small_matrices(p, index, sums, value);
  const Tile tile = tile_of(p, index);
  const int lane = int(threadIdx.x % kWarpThreads), warp = int(threadIdx.x / kWarpThreads);
  const int64_t rows_at = p.row_sums + (tile.matrix * came_parts(p.columns) + tile.column_part) * p.rows;
  float of_columns[kOfLane] = {};
  for (int64_t r = tile.first_row + warp; r < tile.end_row; r += kWarps) {
    const int64_t row = tile.matrix * p.rows + r;
    float sum = 0;
    for (int k = 0; k < kOfLane; ++k) {
      const int64_t c = tile.first_column + lane + k * kWarpThreads;
      const float one =
          c < p.columns ? value(Place{row * p.columns + c, row, tile.matrix * p.columns + c}) : 0.0F;
      sum += one;
      of_columns[k] += one;
    }
    sum = sum_over_warp(sum);
    if (lane == 0) sums[rows_at + r] = sum;
  }
  for (int k = 0; k < kOfLane; ++k) of_warps[warp][lane + k * kWarpThreads] = of_columns[k];
  __syncthreads();
  const int64_t c = tile.first_column + threadIdx.x;
  if (threadIdx.x >= kCameSide || c >= p.columns) return;
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += of_warps[w][threadIdx.x];
  sums[p.column_sums + (tile.matrix * came_parts(p.rows) + tile.row_part) * p.columns + c] = sum;
}

// The reciprocal root of the second moment of an element.
__device__ float root_of(const CameBuffers& b, const CameParameter& p, const Place& place) {
  if (p.is_factored == 0) return reciprocal_root(b.moments[p.moments + place.element]);
  return b.roots[p.roots + place.row] * b.roots[p.roots + p.matrices * p.rows + place.column];
}
__device__ float update_of(const CameBuffers& b, const CameElement& e, const CameParameter& p,
                           const Place& place) {
  return came_update(e, b.gradients[p.offset + place.element], root_of(b, p, place));
}

// Sums of squared gradients; second moments of vectors.
__global__ void came_squares_kernel(CameBuffers b) {
  const CameParameter& p = b.parameters[b.tiles[blockIdx.x]];
  const CameElement e = numbers_of(b);
  const int64_t index = int64_t(blockIdx.x) - p.first_tile;
  const auto square = [&](const Place& at) { return came_square(e, b.gradients[p.offset + at.element]); };
  if (p.is_factored != 0) return sum_tile(p, index, b.sums, square);
  for_own_elements(p, index, [&](const Place& at) {
    float& moment = b.moments[p.moments + at.element];
    moment = came_follow(e, false, moment, square(at));
  });
}

// The sum of row or column i of a matrix over its tiles; those of one tile are `size` sums.
__device__ double sum_of_parts(const float* sums, int64_t parts, int64_t size, int64_t i) {
  double sum = 0;
  for (int64_t part = 0; part < parts; ++part) sum += double(sums[part * size + i]);
  return sum;
}

// Rows and columns first, first + step ... of a matrix: their moments move, and become factors of the reciprocal roots.
// mean_of(own sum of moments of rows): over all rows.
template <class Mean>
__device__ void finish_matrix(const CameBuffers& b, const CameParameter& p, bool residual, int64_t matrix,
                              int64_t first, int64_t step, const Mean& mean_of) {
  const CameElement e = numbers_of(b);
  const int64_t across = came_parts(p.columns), down = came_parts(p.rows);
  const float* row_sums = b.sums + p.row_sums + matrix * across * p.rows;
  const float* column_sums = b.sums + p.column_sums + matrix * down * p.columns;
  float* rows = b.moments + p.moments + came_rows(p, residual) + matrix * p.rows;
  float* columns = b.moments + p.moments + came_columns(p, residual) + matrix * p.columns;
  float* row_roots = b.roots + p.roots + matrix * p.rows;
  float* column_roots = b.roots + p.roots + p.matrices * p.rows + matrix * p.columns;
  double own = 0;
  for (int64_t r = first; r < p.rows; r += step) {
    const double mean = sum_of_parts(row_sums, across, p.rows, r) / double(p.columns);
    rows[r] = came_follow(e, residual, rows[r], float(mean));
    own += double(rows[r]);
  }
  const float mean_of_rows = float(mean_of(own) / double(p.rows));
  for (int64_t r = first; r < p.rows; r += step) row_roots[r] = reciprocal_root(rows[r] / mean_of_rows);
  for (int64_t c = first; c < p.columns; c += step) {
    const double mean = sum_of_parts(column_sums, down, p.columns, c) / double(p.rows);
    columns[c] = came_follow(e, residual, columns[c], float(mean));
    column_roots[c] = reciprocal_root(columns[c]);
  }
}

// A block for each matrix, or for kCameStack small ones.
__global__ void came_moments_kernel(CameBuffers b, int residual) {
  __shared__ double of_warps[kWarps];
  const CameParameter& p = b.parameters[b.stacks[blockIdx.x]];
  const int64_t index = int64_t(blockIdx.x) - p.first_stack;
  if (!came_is_stack(p))
    return finish_matrix(b, p, residual != 0, index, threadIdx.x, kThreads,
                         [](double own) { return sum_over_block(own, kThreads, of_warps); });
  const int64_t matrix = index * kCameStack + threadIdx.x;
  if (matrix < p.matrices) finish_matrix(b, p, residual != 0, matrix, 0, 1, [](double own) { return own; });
}

__global__ void came_updates_kernel(CameBuffers b) {
  __shared__ double of_warps[kWarps];
  const CameParameter& p = b.parameters[b.tiles[blockIdx.x]];
  const CameElement e = numbers_of(b);
  double squares = 0;
  for_own_elements(p, int64_t(blockIdx.x) - p.first_tile, [&](const Place& at) {
    const float update = update_of(b, e, p, at);
    squares += double(update) * double(update);
  });
  squares = sum_over_block(squares, kThreads, of_warps);
  if (threadIdx.x == 0) b.squares[blockIdx.x] = squares;
}

// A block for each parameter.
__global__ void came_limits_kernel(CameBuffers b, int64_t parameters, int64_t tiles) {
  __shared__ double of_warps[kWarps];
  const int64_t parameter = blockIdx.x;
  const CameParameter& p = b.parameters[parameter];
  const int64_t end = parameter + 1 < parameters ? b.parameters[parameter + 1].first_tile : tiles;
  double squares = 0;
  for (int64_t tile = p.first_tile + threadIdx.x; tile < end; tile += kThreads) squares += b.squares[tile];
  squares = sum_over_block(squares, kThreads, of_warps);
  if (threadIdx.x == 0) b.limits[parameter] = came_limit(numbers_of(b), squares, p.count);
}

// Moves the means of updates, and sums their squared distances.
__global__ void came_averages_kernel(CameBuffers b) {
  const int parameter = b.tiles[blockIdx.x];
  const CameParameter& p = b.parameters[parameter];
  const CameElement e = numbers_of(b);
  const int64_t index = int64_t(blockIdx.x) - p.first_tile;
  const float limit = b.limits[parameter];
  const auto residual = [&](const Place& at) {
    return came_average(e, b.exp_avg[p.offset + at.element], update_of(b, e, p, at) / limit);
  };
  if (p.is_factored != 0) return sum_tile(p, index, b.sums, residual);
  for_own_elements(p, index, [&](const Place& at) { (void)residual(at); });
}

__global__ void came_values_kernel(CameBuffers b) {
  const CameParameter& p = b.parameters[b.tiles[blockIdx.x]];
  const CameElement e = numbers_of(b);
  for_own_elements(p, int64_t(blockIdx.x) - p.first_tile, [&](const Place& at) {
    const int64_t i = p.offset + at.element;
    const float steadying = p.is_factored != 0 ? root_of(b, p, at) : 1.0F;
    came_store(b, e, i, came_value(e, b.values[i], steadying * b.exp_avg[i], p.decays != 0));
  });
}

}  // namespace

const char* came_cuda(const CameBuffers& buffers, const CameLayout& layout, void* stream) {
  const auto tiles = unsigned(layout.tiles.size()), stacks = unsigned(layout.stacks.size()),
             parameters = unsigned(layout.parameters.size());
  if (tiles == 0) return nullptr;
  const auto on = static_cast<cudaStream_t>(stream);
  came_squares_kernel<<<tiles, kThreads, 0, on>>>(buffers);
  if (stacks > 0) came_moments_kernel<<<stacks, kThreads, 0, on>>>(buffers, 0);
  came_updates_kernel<<<tiles, kThreads, 0, on>>>(buffers);
  came_limits_kernel<<<parameters, kThreads, 0, on>>>(buffers, parameters, tiles);
  came_averages_kernel<<<tiles, kThreads, 0, on>>>(buffers);
  if (stacks > 0) came_moments_kernel<<<stacks, kThreads, 0, on>>>(buffers, 1);
  came_values_kernel<<<tiles, kThreads, 0, on>>>(buffers);
  return error_of_launch();
}

}  // namespace pixart::optim::kernels
