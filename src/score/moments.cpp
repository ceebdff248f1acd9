#include "moments.h"

#include <ATen/ATen.h>

#include <limits>

#include "pixart/base/error.h"

namespace pixart::score {

void Moments::add(const at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  const at::Tensor batch = rows.cpu().to(at::kDouble);
  PIXART_CHECK(batch.dim() == 2 && batch.size(0) > 0);
  const at::Tensor mean = batch.mean(0), deviations = batch - mean;
  const at::Tensor squares = at::matmul(deviations.t(), deviations);
  const auto added = double(batch.size(0)), before = double(count_);
  if (count_ == 0) {
    mean_ = mean;
    squares_ = squares;
  } else {
    const at::Tensor apart = mean - mean_;
    squares_.add_(squares).add_(at::outer(apart, apart), before * added / (before + added));
    mean_.add_(apart, added / (before + added));
  }
  count_ += batch.size(0);
}

Statistics Moments::statistics() const {
  PIXART_CHECK(count_ >= 2, "a covariance of {} rows", count_);
  return {.mean = mean_.clone(), .covariance = squares_ / double(count_ - 1), .count = count_};
}

namespace {

// The positive eigenvalues of a symmetric matrix; those below the rounding error of the largest count as 0.
at::Tensor without_noise(const at::Tensor& eigenvalues) {
  constexpr double kNoise = 16 * std::numeric_limits<double>::epsilon();
  const double largest = eigenvalues.numel() > 0 ? eigenvalues.max().item<double>() : 0;
  return at::where(eigenvalues > kNoise * largest, eigenvalues, at::zeros_like(eigenvalues));
}

double trace_of_root(const at::Tensor& first, const at::Tensor& second) {
  const auto [values, vectors] = at::linalg_eigh(first);
  const at::Tensor kept = without_noise(values), places = kept.nonzero().squeeze(1);
  const at::Tensor basis = vectors.index_select(1, places) * kept.index_select(0, places).sqrt();
  // The eigenvalues of S1^(1/2) S2 S1^(1/2) in the basis of S1's own directions: those without extent give 0.
  const at::Tensor product = at::matmul(basis.t(), at::matmul(second, basis));
  return without_noise(at::linalg_eigvalsh((product + product.t()) / 2)).sqrt().sum().item<double>();
}

}  // namespace

double frechet_distance(const Statistics& first, const Statistics& second) {
  PIXART_CHECK(first.mean.sizes() == second.mean.sizes() &&
               first.covariance.sizes() == second.covariance.sizes());
  const at::NoGradGuard no_grad;
  const double apart = (first.mean - second.mean).square().sum().item<double>();
  const double traces = (first.covariance.trace() + second.covariance.trace()).item<double>();
  const double distance = apart + traces - 2 * trace_of_root(first.covariance, second.covariance);
  return distance <= 0 ? 0 : distance;  // of equal sets, rounding may leave a little less than 0
}

}  // namespace pixart::score
