#include "pixart/nn/random_fill.h"

#include <ATen/ATen.h>

#include "pixart/base/random.h"

namespace pixart::nn {

namespace {

uint64_t name_hash(const std::string& name) {  // FNV-1a
  uint64_t hash = 14695981039346656037ull;
  for (const char letter : name) hash = (hash ^ uint8_t(letter)) * 1099511628211ull;
  return hash;
}

template <class Fill>
at::Tensor drawn(const at::Tensor& like, const std::string& name, uint64_t seed, const Fill& fill) {
  at::Tensor values = at::empty(like.sizes(), at::kFloat);
  fill(RandomKey{seed, name_hash(name), Purpose::kInit},
       std::span<float>(values.data_ptr<float>(), size_t(values.numel())));
  return values;
}

}  // namespace

void fill_normal_named(const at::Tensor& tensor, const std::string& name, uint64_t seed,
                       double standard_deviation) {
  at::NoGradGuard no_grad;
  at::Tensor(tensor).copy_(drawn(tensor, name, seed, fill_normal).mul_(standard_deviation));
}

void fill_uniform_named(const at::Tensor& tensor, const std::string& name, uint64_t seed, double low,
                        double high) {
  at::NoGradGuard no_grad;
  at::Tensor(tensor).copy_(drawn(tensor, name, seed, fill_uniform).mul_(high - low).add_(low));
}

}  // namespace pixart::nn
