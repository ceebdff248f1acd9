#include "pixart/train/checkpoint.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::vector<std::string> trainable_names(const nn::StateDict& model) {
  std::vector<std::string> names;
  for (const auto& parameter : model.items())
    if (parameter.trainable) names.push_back(parameter.name);
  return names;
}

// The model's tensors with the trainable ones replaced by views of `flat`.
std::vector<formats::NamedTensor> named_views(const nn::StateDict& model,
                                              const std::vector<at::Tensor>& views) {
  std::vector<formats::NamedTensor> result;
  size_t next = 0;
  for (const auto& parameter : model.items())
    result.push_back({parameter.name, parameter.trainable ? views[next++] : parameter.tensor});
  return result;
}

std::vector<formats::NamedTensor> optimizer_tensors(Trainer& trainer, const nn::StateDict& model) {
  const auto state = trainer.state();
  const auto names = trainable_names(model);
  std::vector<formats::NamedTensor> result;
  for (const auto& [key, flat] : {std::pair{"exp_avg", state.optimizer->exp_avg},
                                  std::pair{"exp_avg_sq", state.optimizer->exp_avg_sq}}) {
    const auto views = trainer.views(flat);
    for (size_t i = 0; i < names.size(); ++i) result.push_back({std::string(key) + "." + names[i], views[i]});
  }
  return result;
}

void copy_into_views(const std::vector<at::Tensor>& views, const std::vector<std::string>& names,
                     const std::string& prefix, const std::map<std::string, at::Tensor>& tensors,
                     const fs::path& file) {
  Problems problems;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = tensors.find(prefix + names[i]);
    if (found == tensors.end())
      problems.add("tensor " + prefix + names[i] + " is missing");
    else if (found->second.sizes() != views[i].sizes())
      problems.add(fmt::format("tensor {} has {} numbers, the model has {}", prefix + names[i],
                               found->second.numel(), views[i].numel()));
  }
  problems.throw_if_any(file.string() + " does not fit the configured model");
  for (size_t i = 0; i < names.size(); ++i) at::Tensor(views[i]).copy_(tensors.at(prefix + names[i]));
}

}  // namespace

CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                     const std::map<std::string, std::string>& metadata, double seconds) {
  const auto state = trainer.state();
  const json saved = {{"step", *state.step},
                      {"optimizer_steps", state.optimizer->steps},
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
  const auto weights = formats::load_safetensors(folder / "model.safetensors");
  const auto average = formats::load_safetensors(folder / "ema.safetensors");
  const auto optimizer = formats::load_safetensors(folder / "optimizer.safetensors");
  nn::load_state(model, weights.tensors, (folder / "model.safetensors").string());
  const auto state = trainer.state();
  const auto names = trainable_names(model);
  copy_into_views(trainer.views(state.ema), names, "", average.tensors, folder / "ema.safetensors");
  copy_into_views(trainer.views(state.optimizer->exp_avg), names, "exp_avg.", optimizer.tensors,
                  folder / "optimizer.safetensors");
  copy_into_views(trainer.views(state.optimizer->exp_avg_sq), names, "exp_avg_sq.", optimizer.tensors,
                  folder / "optimizer.safetensors");
  const json saved = json::parse(read_file(folder / "state.json"));
  *state.step = saved.at("step").get<int64_t>();
  *state.skipped = saved.at("skipped").get<int64_t>();
  state.optimizer->steps = saved.at("optimizer_steps").get<int64_t>();
  return {saved.at("seconds").get<double>(), weights.metadata};
}

}  // namespace pixart::train
