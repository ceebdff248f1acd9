#include "pixart/train/checkpoint.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// The model's tensors with the trainable ones replaced by views of `flat`.
std::vector<formats::NamedTensor> named_views(const nn::StateDict& model,
                                              const std::vector<at::Tensor>& views) {
  std::vector<formats::NamedTensor> result;
  size_t next = 0;
  for (const auto& parameter : model.items())
    result.push_back({parameter.name, parameter.trainable ? views[next++] : parameter.tensor});
  return result;
}

// The trainable tensors' names with `views` of a flat buffer.
std::vector<formats::NamedTensor> trained_views(const nn::StateDict& model,
                                                const std::vector<at::Tensor>& views) {
  const auto names = nn::trainable_names(model);
  std::vector<formats::NamedTensor> result;
  for (size_t i = 0; i < names.size(); ++i) result.push_back({names[i], views.at(i)});
  return result;
}

// The optimizer's state, live: "exp_avg.<parameter>", "exp_avg_sq.<parameter>" and so on.
std::vector<formats::NamedTensor> optimizer_tensors(const Trainer& trainer, const nn::StateDict& model) {
  const auto names = nn::trainable_names(model);
  std::vector<formats::NamedTensor> result;
  for (const auto& [key, parameter, tensor] : trainer.optimizer_state())
    result.push_back({key + "." + names.at(parameter), tensor});
  return result;
}

// Copies the tensors of `file` into those of `live`.
void restore(const std::vector<formats::NamedTensor>& live, const fs::path& file) {
  const auto saved = formats::load_safetensors(file).tensors;
  Problems problems;
  for (const auto& [name, tensor] : live) {
    const auto found = saved.find(name);
    if (found == saved.end())
      problems.add("tensor " + name + " is missing");
    else if (found->second.sizes() != tensor.sizes())
      problems.add(fmt::format("tensor {} has {} numbers, the model has {}", name, found->second.numel(),
                               tensor.numel()));
  }
  problems.throw_if_any(file.string() + " does not fit the configured model");
  for (const auto& [name, tensor] : live) at::Tensor(tensor).copy_(saved.at(name));
}

void require_optimizer(const json& saved, const std::string& name, const fs::path& folder) {
  const std::string was = saved.value("optimizer", "adamw");
  if (was != name)
    throw UserError(fmt::format(
        "{} holds the state of {}, but optimizer.name is {}. Set it back, or start another stage.",
        folder.string(), was, name));
}

}  // namespace

CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                     const std::map<std::string, std::string>& metadata, double seconds) {
  const auto state = trainer.state();
  const json saved = {{"step", *state.step},
                      {"optimizer", state.optimizer->name()},
                      {"optimizer_steps", state.optimizer->steps()},
                      {"skipped", *state.skipped},
                      {"seconds", seconds}};
  return {.step = *state.step,
          .files = {{"model", named_views(model, trainer.views(state.values))},
                    {"ema", named_views(model, trainer.views(state.ema))},
                    {"optimizer", optimizer_tensors(trainer, model)}},
          .metadata = metadata,
          .state = saved.dump(1) + "\n"};
}

void save_checkpoint(const fs::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const std::map<std::string, std::string>& metadata, double seconds) {
  write_checkpoint(stage_folder, checkpoint_content(trainer, model, metadata, seconds));
}

LoadedCheckpoint load_checkpoint(const fs::path& folder, Trainer& trainer, nn::StateDict& model) {
  const auto state = trainer.state();
  const json saved = json::parse(read_file(folder / "state.json"));
  require_optimizer(saved, state.optimizer->name(), folder);
  const auto weights = formats::load_safetensors(folder / "model.safetensors");
  nn::load_state(model, weights.tensors, (folder / "model.safetensors").string());
  restore(trained_views(model, trainer.views(state.ema)), folder / "ema.safetensors");
  restore(optimizer_tensors(trainer, model), folder / "optimizer.safetensors");
  *state.step = saved.at("step").get<int64_t>();
  *state.skipped = saved.at("skipped").get<int64_t>();
  state.optimizer->steps() = saved.at("optimizer_steps").get<int64_t>();
  return {saved.at("seconds").get<double>(), weights.metadata};
}

}  // namespace pixart::train
