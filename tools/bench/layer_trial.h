// A part of a model with its gradient, timed in turn with rivals.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pixart::bench {

struct Contestant {
  std::string name;
  std::function<at::Tensor()> forward;
};

struct Trial {
  std::vector<Contestant> contestants;  // the first is ours
  std::vector<at::Tensor> inputs;       // of the gradients
  int64_t rounds = 10;
};

// Forward and backward of each contestant in turn, `rounds` times after two that do not count: milliseconds,
// how much faster ours is than each other one, and the largest difference from ours of results and gradients,
// relative to their largest value.
nlohmann::ordered_json race(const Trial& trial);

// Bytes per second that a copy of `tensor` reads and writes.
double copy_rate(const at::Tensor& tensor);

}  // namespace pixart::bench
