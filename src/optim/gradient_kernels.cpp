#include "gradient_kernels.h"

#include <ATen/ATen.h>

#include "kernel_launch.h"
#include "kernels/adamw.h"
#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

int64_t num_tile_squares(int64_t numel) { return kernels::gradient_tiles(numel); }

void gather_gradients(at::Tensor& flat, const kernels::GradientPieces& pieces, const at::Tensor& partials) {
  [[maybe_unused]] float* target = flat.mutable_data_ptr<float>();
  [[maybe_unused]] double* sums = partials.defined() ? partials.mutable_data_ptr<double>() : nullptr;
  [[maybe_unused]] const auto& given = pieces;
  PIXART_LAUNCH(flat.device(), kernels::gather_gradients_cuda(target, given, sums, stream));
}

void tile_squares(const at::Tensor& values, at::Tensor partials) {
  PIXART_CHECK(values.is_contiguous() && partials.numel() == kernels::gradient_tiles(values.numel()),
               "{} sums for {} gradients", partials.numel(), values.numel());
  [[maybe_unused]] double* sums = partials.mutable_data_ptr<double>();
  PIXART_LAUNCH(values.device(),
                kernels::tile_squares_cuda(values.const_data_ptr<float>(), values.numel(), sums, stream));
}

void average_and_round(const at::Tensor& ema, const at::Tensor& rounded, const at::Tensor& values,
                       double decay) {
  [[maybe_unused]] const double share = decay;
  [[maybe_unused]] float* average = ema.defined() ? ema.mutable_data_ptr<float>() : nullptr;
  [[maybe_unused]] auto* bits =
      rounded.defined() ? static_cast<Bfloat16Bits*>(rounded.mutable_data_ptr()) : nullptr;
  PIXART_LAUNCH(values.device(), kernels::average_cuda(average, bits, values.const_data_ptr<float>(), share,
                                                       values.numel(), stream));
}

at::Tensor totals_of(const at::Tensor& loss, const at::Tensor& partials, const at::Tensor& into) {
  at::Tensor totals = into.defined() ? into : at::empty({2}, partials.options());
  [[maybe_unused]] kernels::LossValue value{};
  if (loss.defined() && loss.scalar_type() == at::kDouble)
    value.as_double = loss.const_data_ptr<double>();
  else if (loss.defined())
    value.as_float = loss.const_data_ptr<float>();
  [[maybe_unused]] double* place = totals.mutable_data_ptr<double>();
  PIXART_LAUNCH(partials.device(), kernels::totals_cuda(value, partials.const_data_ptr<double>(),
                                                        partials.numel(), place, stream));
  return totals;
}

}  // namespace pixart::optim
