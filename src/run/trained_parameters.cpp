#include "pixart/run/trained_parameters.h"

#include "pixart/base/error.h"
#include "pixart/base/patterns.h"
#include "pixart/base/words.h"
#include "pixart/models/transformer.h"
#include "pixart/nn/lora.h"

namespace pixart::run {

Trained ParameterCounts::trained_part() const {
  if (has_adapters) return {.share = 0, .adapters = trained};
  return {.share = double(trained) / double(model)};
}

void add_adapters(const StageConfig& stage, nn::StateDict& state) {
  if (stage.lora.rank == 0) return;
  Problems problems;
  nn::add_lora(state, stage.lora, stage.info().adapter_targets, "lora.targets", problems);
  problems.throw_if_any("stage " + stage.name);
}

std::string choose_trained(const StageConfig& stage, nn::StateDict& state) {
  const int64_t num_parameters = state.num_parameters();
  const auto names = nn::trainable_names(state);
  Problems problems;
  const auto frozen = matching_names(stage.frozen, names, "frozen", "parameter", problems);
  for (size_t i = 0; i < names.size(); ++i)
    if (frozen[i] || (stage.lora.rank > 0 && !nn::is_lora_name(names[i])) ||
        (stage.control.is_on() && !models::is_control_name(names[i])))
      state.freeze(names[i]);
  const auto trained = nn::trainable_names(state);
  if (trained.empty()) {
    problems.add(fmt::format("frozen: none of {} tensors is left to train", names.size()));
  } else {
    matching_names(stage.optimizer.no_decay, trained, "optimizer.no_decay", "trained parameter", problems);
  }
  problems.throw_if_any("stage " + stage.name);
  if (trained.size() == names.size()) return "";
  return fmt::format("{} of {} tensors are frozen; {} of {} parameters are trained",
                     names.size() - trained.size(), names.size(), with_thousands(state.num_parameters()),
                     with_thousands(num_parameters));
}

}  // namespace pixart::run
