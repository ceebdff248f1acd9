// LoRA (Hu et al. 2021, arXiv 2106.09685): a linear layer computes y = W x + bias + (alpha / rank) B (A x),
// and A [rank, in], B [out, rank] are trained in place of W. Names and initial values are those of PEFT.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/rule.h"
#include "pixart/nn/state_dict.h"

namespace pixart::nn {

inline constexpr const char* kLoraA = ".lora_A.weight";  // behind the module's name
inline constexpr const char* kLoraB = ".lora_B.weight";

// Low-rank adapters that are trained in place of the weights themselves.
struct LoraConfig {
  int64_t rank = 0;
  std::optional<double> alpha;
  std::vector<std::string> targets;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("rank", s.rank, "Rank of the adapters; 0: none, the weights themselves are trained.", not_negative());
    v("alpha", s.alpha, "Adapters count alpha / rank times. Unset: rank.", positive());
    v("targets", s.targets,
      "Linear layers with an adapter, by name: `blocks.*.attn.*`, `t_block.*` and the like. Empty: "
      "attention, "
      "cross-attention and MLP of all blocks.",
      any());
  }
  double effective_alpha() const { return alpha.value_or(double(rank)); }
  void validate(std::vector<std::string>& problems) const;
};

// Registers an adapter, zero so far, for every linear layer of `state` that a target names (config.targets,
// or `usual_targets` where that is empty); forward passes of the model use it from now on. A pattern that
// matches nothing becomes a problem that begins with `key`.
void add_lora(StateDict& state, const LoraConfig& config, const std::vector<std::string>& usual_targets,
              const std::string& key, Problems& problems);

bool is_lora_name(const std::string& name);                   // of a tensor
std::vector<std::string> lora_names(const StateDict& state);  // of its tensors, in order

// A: uniform in +-1/sqrt(in) (PyTorch's kaiming_uniform_ with a = sqrt(5)), keyed by the name; B: zeros, so
// that the model computes what it did before. False for other parameters, which stay as they are.
bool initialize_lora(const Parameter& parameter, uint64_t seed);

}  // namespace pixart::nn
