#include "pixart/nn/lora.h"

#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/patterns.h"
#include "pixart/nn/random_fill.h"

namespace pixart::nn {

void LoraConfig::validate(std::vector<std::string>& problems) const {
  if (rank > 0) return;
  if (alpha) problems.push_back("alpha has no effect with rank 0; set rank, or remove alpha");
  if (!targets.empty()) problems.push_back("targets has no effect with rank 0; set rank, or remove targets");
}

void add_lora(StateDict& state, const LoraConfig& config, const std::vector<std::string>& usual_targets,
              const std::string& key, Problems& problems) {
  PIXART_CHECK(config.rank > 0, "an adapter of rank {}", config.rank);
  std::vector<std::string> names;
  for (const auto& linear : state.linears()) names.push_back(linear.name);
  const auto& targets = config.targets.empty() ? usual_targets : config.targets;
  const auto chosen = matching_names(targets, names, key, "linear layer", problems);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!chosen[i]) continue;
    const at::Tensor weight = state.get(names[i] + ".weight");
    Lora& lora = *state.linears()[i].lora;
    lora.a = state.add(names[i] + kLoraA, {config.rank, weight.size(1)});
    lora.b = state.add(names[i] + kLoraB, {weight.size(0), config.rank});
    lora.scale = config.effective_alpha() / double(config.rank);
  }
}

bool is_lora_name(const std::string& name) { return name.ends_with(kLoraA) || name.ends_with(kLoraB); }

std::vector<std::string> lora_names(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& item : state.items())
    if (is_lora_name(item.name)) names.push_back(item.name);
  return names;
}

bool initialize_lora(const Parameter& parameter, uint64_t seed) {
  if (!is_lora_name(parameter.name)) return false;
  at::NoGradGuard no_grad;
  if (parameter.name.ends_with(kLoraB)) return at::Tensor(parameter.tensor).zero_(), true;
  const double bound = 1 / std::sqrt(double(parameter.tensor.size(1)));
  fill_uniform_named(parameter.tensor, parameter.name, seed, -bound, bound);
  return true;
}

}  // namespace pixart::nn
