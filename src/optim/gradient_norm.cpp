#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gradient_kernels.h"
#include "kernels/adamw.h"
#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

namespace {

constexpr int64_t kBlock =
    1 << 16;  // elements summed by one task; fixed, so that the sum does not depend on threads

template <class T>
double sum_of_squares(const at::Tensor& flat) {
  const T* data = flat.const_data_ptr<T>();
  const int64_t count = flat.numel();
  std::vector<double> sums(size_t((count + kBlock - 1) / kBlock));
  at::parallel_for(0, int64_t(sums.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      sums[size_t(block)] =
          kernels::sum_of_squares_cpu(data, block * kBlock, std::min(count, (block + 1) * kBlock));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Works block by block also on a GPU: a double-precision copy of all gradients would double their memory.
at::Tensor sum_of_squares_on_device(const at::Tensor& flat) {
  const int64_t whole = flat.numel() / kBlock * kBlock;
  const auto blocks = at::linalg_vector_norm(flat.narrow(0, 0, whole).view({-1, kBlock}), 2, {1});
  const auto rest = at::linalg_vector_norm(flat.narrow(0, whole, flat.numel() - whole), 2);
  return at::cat({blocks, rest.view({1})}).to(at::kDouble).square().sum();
}

at::Tensor squares_of_tiles(const at::Tensor& flat) {
  const at::Tensor partials =
      at::empty({kernels::gradient_tiles(flat.numel())}, flat.options().dtype(at::kDouble));
  tile_squares(flat, partials);
  return partials;
}

}  // namespace

bool has_step_totals(const at::Tensor& gradients) {
  return kernels_usable(gradients.device()) && gradients.scalar_type() == at::kFloat;
}

at::Tensor step_totals(const at::Tensor& loss, const at::Tensor& gradients, const at::Tensor& tile_squares,
                       const at::Tensor& into) {
  if (has_step_totals(gradients))
    return totals_of(loss, tile_squares.defined() ? tile_squares : squares_of_tiles(gradients), into);
  const at::Tensor squared_norm = squared_gradient_norm(gradients);
  const at::Tensor own = loss.defined() ? loss.to(at::kDouble) : at::zeros_like(squared_norm);
  return at::stack({own, squared_norm});
}

at::Tensor squared_gradient_norm(const at::Tensor& gradients) {
  PIXART_CHECK(gradients.dim() == 1 && gradients.is_contiguous(), "gradients of {} dimensions",
               gradients.dim());
  if (!gradients.is_cpu()) return sum_of_squares_on_device(gradients);
  const bool is_double = gradients.scalar_type() == at::kDouble;
  return at::scalar_tensor(is_double ? sum_of_squares<double>(gradients) : sum_of_squares<float>(gradients),
                           at::kDouble);
}

double gradient_norm(const at::Tensor& gradients) {
  return std::sqrt(squared_gradient_norm(gradients).item<double>());
}

double clip_factor(double norm, double max_norm) { return kernels::clip_factor_of(norm, max_norm); }

}  // namespace pixart::optim
