// LoRA (Hu et al. 2021, arXiv 2106.09685): a linear layer computes y = W x + bias + (alpha / rank) B (A x),
// and A [rank, in], B [out, rank] are trained in place of W. Names and initial values are those of PEFT.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/nn/state_dict.h"

namespace pixart::nn {

inline constexpr const char* kLoraA = ".lora_A.weight";  // behind the module's name
inline constexpr const char* kLoraB = ".lora_B.weight";

struct LoraOptions {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<std::string> targets = {};  // patterns of linear layers' names, as of matching_names()
};

// Registers an adapter, zero so far, for every linear layer of `state` that a target names; forward passes of
// the model use it from now on. A pattern that matches nothing becomes a problem that begins with `key`.
void add_lora(StateDict& state, const LoraOptions& options, const std::string& key, Problems& problems);

bool is_lora_name(const std::string& name);                   // of a tensor
std::vector<std::string> lora_names(const StateDict& state);  // of its tensors, in order

// A: uniform in +-1/sqrt(in) (PyTorch's kaiming_uniform_ with a = sqrt(5)), keyed by the name; B: zeros, so
// that the model computes what it did before. False for other parameters, which stay as they are.
bool initialize_lora(const Parameter& parameter, uint64_t seed);

}  // namespace pixart::nn
