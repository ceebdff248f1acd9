// LoRA (Hu et al. 2021, arXiv 2106.09685): a linear layer computes y = W x + bias + (alpha / rank) B (A x). A
// [rank, in] and B [out, rank] are trained instead of W. Names and initial values are as in PEFT.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/rule.h"
#include "pixart/nn/state_dict.h"

namespace pixart::nn {

inline constexpr const char* kLoraA = ".lora_A.weight";  // follows the module's name
inline constexpr const char* kLoraB = ".lora_B.weight";

// Low-rank adapters, trained instead of the weights.
struct LoraConfig {
  int64_t rank = 0;
  std::optional<double> alpha;
  std::vector<std::string> targets;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("rank", s.rank, "Rank of the adapters. 0: no adapters, the weights are trained.",
      in_range(0, kWidestLayer));
    v("alpha", s.alpha, "The output of an adapter is scaled by alpha / rank. Unset: rank.",
      positive_up_to(1e6));
    v("targets", s.targets,
      "Names of the linear layers with an adapter, as patterns such as `blocks.*.attn.*` or `t_block.*`. "
      "Empty: attention, cross-attention and MLP of all blocks.",
      any());
  }
  double effective_alpha() const { return alpha.value_or(double(rank)); }
  void validate(std::vector<std::string>& problems) const;
};

// Registers an adapter with value zero for every linear layer of `state` that a target names (config.targets,
// or `usual_targets` if that is empty). Forward passes of the model then use the adapters. A pattern that
// matches nothing becomes a problem that begins with `key`.
void add_lora(StateDict& state, const LoraConfig& config, const std::vector<std::string>& usual_targets,
              const std::string& key, Problems& problems);

bool is_lora_name(const std::string& name);                   // true for a tensor of an adapter
std::vector<std::string> lora_names(const StateDict& state);  // the tensors of adapters, in order

// A: uniform in +-1/sqrt(in) (PyTorch's kaiming_uniform_ with a = sqrt(5)), keyed by the name. B: zeros, so
// that the model's output does not change at first. Returns false for other parameters and does not change
// them.
bool initialize_lora(const Parameter& parameter, uint64_t seed);

}  // namespace pixart::nn
