// Initial values from counter-based random numbers keyed by (seed, name): they do not depend on the order of
// parameters or on the device.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace pixart::nn {

void fill_normal_named(const at::Tensor& tensor, const std::string& name, uint64_t seed,
                       double standard_deviation);
void fill_uniform_named(const at::Tensor& tensor, const std::string& name, uint64_t seed, double low,
                        double high);

}  // namespace pixart::nn
