#include "metrics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::score {

namespace {

constexpr int64_t kKernelRows = 2048;                 // of a block of a kernel
constexpr int64_t kBytesOfBlock = int64_t{64} << 20;  // of distances; there are three at a time

MeanAndDeviation mean_and_deviation(const std::vector<double>& values) {
  const at::Tensor all = at::tensor(values, at::kDouble);
  return {.mean = all.mean().item<double>(), .deviation = all.std(/*unbiased=*/false).item<double>()};
}

// Calls use(begin, end) for ranges of at most `at_once` rows, and `progress` between them.
template <class Use>
void for_blocks(int64_t rows, int64_t at_once, const Use& use, const std::function<void()>& progress = {}) {
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    if (begin > 0 && progress) progress();
    use(begin, std::min(rows, begin + at_once));
  }
}

at::Tensor kernel(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor base = at::matmul(x, y.t()) / double(x.size(1)) + 1;
  return base * base * base;
}

double kernel_sum(const at::Tensor& x, const at::Tensor& y) {
  double sum = 0;
  for_blocks(x.size(0), kKernelRows, [&](int64_t x_begin, int64_t x_end) {
    for_blocks(y.size(0), kKernelRows, [&](int64_t y_begin, int64_t y_end) {
      sum += kernel(x.slice(0, x_begin, x_end), y.slice(0, y_begin, y_end)).sum().item<double>();
    });
  });
  return sum;
}

// The sum over pairs of different rows.
double kernel_sum_of_pairs(const at::Tensor& x) {
  const at::Tensor own = x.square().sum(1) / double(x.size(1)) + 1;
  return kernel_sum(x, x) - own.pow(3).sum().item<double>();
}

double unbiased_mmd(const at::Tensor& x, const at::Tensor& y) {
  const auto m = double(x.size(0)), n = double(y.size(0));
  return kernel_sum_of_pairs(x) / (m * (m - 1)) + kernel_sum_of_pairs(y) / (n * (n - 1)) -
         2 * kernel_sum(x, y) / (m * n);
}

at::Tensor subset(const at::Tensor& rows, int64_t size, const RandomKey& key) {
  auto order = permutation(key, rows.size(0));
  order.resize(size_t(size));
  return rows.index_select(0, at::tensor(order, at::kLong));
}

}  // namespace

MeanAndDeviation kernel_distance(const at::Tensor& first, const at::Tensor& second, const KidOptions& options,
                                 const std::function<void(int64_t)>& progress) {
  const int64_t size = std::min({first.size(0), second.size(0), options.subset_size});
  PIXART_CHECK(size >= 2 && options.subsets >= 1);
  const at::Tensor x = in_doubles(first), y = in_doubles(second);
  std::vector<double> distances;
  for (int64_t i = 0; i < options.subsets; ++i) {
    const auto key = [&](uint64_t side) {
      return RandomKey{.seed = options.seed, .stream = 2 * uint64_t(i) + side, .purpose = Purpose::kSubset};
    };
    distances.push_back(unbiased_mmd(subset(x, size, key(0)), subset(y, size, key(1))));
    if (progress) progress(i + 1);
  }
  return mean_and_deviation(distances);
}

double kernel_distance_of_all(const at::Tensor& first, const at::Tensor& second) {
  return unbiased_mmd(in_doubles(first), in_doubles(second));
}

int64_t rows_in_block(int64_t columns) {
  PIXART_CHECK(columns >= 1);
  return std::clamp<int64_t>(kBytesOfBlock / (columns * int64_t(sizeof(double))), 1, kKernelRows);
}

namespace {

at::Tensor squared_distances(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor x_norms = x.square().sum(1, /*keepdim=*/true), y_norms = y.square().sum(1);
  return (x_norms + y_norms).sub_(at::matmul(x, y.t()), 2).clamp_min_(0);
}

// The share of `rows` that are in a ball around one of `centres`.
double share_inside(const at::Tensor& rows, const at::Tensor& centres, const at::Tensor& radii,
                    const std::function<void()>& progress) {
  int64_t inside = 0;
  const auto count = [&](int64_t begin, int64_t end) {
    const at::Tensor distances = squared_distances(rows.slice(0, begin, end), centres);
    inside += (distances <= radii).any(1).sum().item<int64_t>();
  };
  for_blocks(rows.size(0), rows_in_block(centres.size(0)), count, progress);
  return double(inside) / double(rows.size(0));
}

}  // namespace

at::Tensor squared_radii(const at::Tensor& rows, int64_t neighbours, const std::function<void()>& progress) {
  const at::Tensor all = in_doubles(rows);
  at::Tensor radii = at::empty({all.size(0)}, at::kDouble);
  const auto fill = [&](int64_t begin, int64_t end) {
    const auto [distances, places] =
        at::kthvalue(squared_distances(all.slice(0, begin, end), all), neighbours + 1, 1);  // with itself
    radii.slice(0, begin, end).copy_(distances);
  };
  for_blocks(all.size(0), rows_in_block(all.size(0)), fill, progress);
  return radii;
}

PrecisionRecall precision_recall(const at::Tensor& images, const at::Tensor& reference, int64_t neighbours,
                                 const at::Tensor& radii, const std::function<void()>& progress) {
  PIXART_CHECK(neighbours >= 1 && std::min(images.size(0), reference.size(0)) > neighbours);
  const at::Tensor own = in_doubles(images), others = in_doubles(reference);
  const at::Tensor of_others = radii.defined() ? radii : squared_radii(others, neighbours, progress);
  return {.precision = share_inside(own, others, of_others, progress),
          .recall = share_inside(others, own, squared_radii(own, neighbours, progress), progress)};
}

InceptionScore::InceptionScore(std::vector<int64_t> order, int64_t splits)
    : order_(std::move(order)), splits_(splits) {
  PIXART_CHECK(splits_ >= 1 && splits_ <= int64_t(order_.size()));
}

// Part i has the places from i * N / splits to (i + 1) * N / splits.
int64_t InceptionScore::part_of(int64_t place) const {
  return ((place + 1) * splits_ - 1) / int64_t(order_.size());
}

void InceptionScore::add(const at::Tensor& logits) {
  const at::NoGradGuard no_grad;
  const at::Tensor log_p = at::log_softmax(in_doubles(logits), 1), p = log_p.exp();
  if (!probabilities_.defined()) {
    probabilities_ = at::zeros({splits_, logits.size(1)}, at::kDouble);
    entropies_ = at::zeros({splits_}, at::kDouble);
  }
  PIXART_CHECK(done_ + logits.size(0) <= int64_t(order_.size()), "more images than announced");
  std::vector<int64_t> parts;
  for (int64_t i = 0; i < logits.size(0); ++i) parts.push_back(part_of(order_[size_t(done_ + i)]));
  const at::Tensor index = at::tensor(parts, at::kLong);
  probabilities_.index_add_(0, index, p);
  entropies_.index_add_(0, index, (p * log_p).sum(1));
  done_ += logits.size(0);
}

MeanAndDeviation InceptionScore::score() const {
  const auto total = int64_t(order_.size());
  PIXART_CHECK(done_ == total, "{} of {} images", done_, total);
  std::vector<double> scores;
  for (int64_t i = 0; i < splits_; ++i) {
    const auto count = double((i + 1) * total / splits_ - i * total / splits_);
    const at::Tensor mean = probabilities_[i] / count;
    const double entropy = at::xlogy(mean, mean).sum().item<double>();
    scores.push_back(std::exp(entropies_[i].item<double>() / count - entropy));
  }
  return mean_and_deviation(scores);
}

}  // namespace pixart::score
