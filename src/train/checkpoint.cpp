#include "checkpoint.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/distributed/agreement.h"
#include "pixart/formats/manifest.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"

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

// The live optimizer state of this rank's share: "exp_avg.<parameter>", "exp_avg_sq.<parameter>" and so on.
std::vector<formats::NamedTensor> optimizer_tensors(const Trainer& trainer, const nn::StateDict& model) {
  const auto names = nn::trainable_names(model);
  std::vector<formats::NamedTensor> result;
  for (const auto& [key, parameter, tensor] : trainer.optimizer_state())
    result.push_back({key + "." + names.at(parameter), tensor});
  return result;
}

// Views of this rank's share of the EMA.
std::vector<formats::NamedTensor> ema_tensors(Trainer& trainer, const nn::StateDict& model) {
  const auto names = nn::trainable_names(model);
  const auto views = trainer.share().views(trainer.state().ema);
  std::vector<formats::NamedTensor> result;
  for (size_t i = 0; i < views.size(); ++i)
    result.push_back({names.at(trainer.share().indices()[i]), views[i]});
  return result;
}

// "0.<name>", "1.<name>": of both power EMAs, whole ones or this rank's shares.
std::string power_ema_name(size_t index, const std::string& name) {
  return fmt::format("{}.{}", index, name);
}

std::vector<formats::NamedTensor> whole_power_emas(Trainer& trainer, const nn::StateDict& model) {
  std::vector<formats::NamedTensor> result;
  const auto whole = trainer.whole_power_emas();
  for (size_t i = 0; i < whole.size(); ++i)
    for (const auto& [name, tensor] : named_views(model, trainer.views(whole[i])))
      result.push_back({power_ema_name(i, name), tensor});
  return result;
}

std::vector<formats::NamedTensor> own_power_emas(const Trainer& trainer, const nn::StateDict& model) {
  const auto names = nn::trainable_names(model);
  std::vector<formats::NamedTensor> result;
  for (size_t i = 0; i < trainer.power_emas().size(); ++i) {
    const auto views = trainer.share().views(trainer.power_emas()[i]);
    for (size_t j = 0; j < views.size(); ++j)
      result.push_back({power_ema_name(i, names.at(trainer.share().indices()[j])), views[j]});
  }
  return result;
}

std::string optimizer_file(const Trainer& trainer) {
  if (!trainer.is_sharded()) return "optimizer";
  return fmt::format("optimizer-{:05d}-of-{:05d}", trainer.ranks().rank() + 1, trainer.ranks().world_size());
}

template <class Read>
auto unless_damaged(const Read& read) {
  try {
    return read();
  } catch (const UserError& error) {
    if (error.code() == ExitCode::kBadInput) throw DamagedCheckpoint(error.what());
    throw;
  }
}

// Each tensor is compared with the manifest when it is read: the file server of this rank may show other bytes
// than that of the rank which verified the checkpoint.
formats::Weights open_verified(const fs::path& file) {
  formats::Weights weights = unless_damaged([&] { return formats::open_weights(file); });
  weights.read = [read = std::move(weights.read)](const std::string& name) {
    return unless_damaged([&] { return read(name); });
  };
  return weights;
}

// Copies each tensor from the one of `files` that contains it into the tensor of the same name in `live`.
// `reads_all`: the other tensors are read, too, and so compared with the manifest.
void restore(const std::vector<formats::NamedTensor>& live, const std::vector<fs::path>& files,
             const std::string& subject, bool reads_all) {
  std::vector<formats::Weights> opened;
  std::map<std::string, size_t> where;
  for (const auto& file : files) {
    opened.push_back(open_verified(file));
    for (const auto& [name, info] : opened.back().tensors) where[name] = opened.size() - 1;
  }
  Problems problems;
  for (const auto& [name, tensor] : live) {
    const auto found = where.find(name);
    if (found == where.end()) {
      problems.add("tensor " + name + " is missing");
    } else if (const auto& info = opened[found->second].tensors.at(name); tensor.sizes() != info.shape) {
      problems.add(
          fmt::format("tensor {} has {} elements, the model has {}", name, info.numel(), tensor.numel()));
    }
  }
  problems.throw_if_any(subject + " does not fit the configured model");
  for (const auto& [name, tensor] : live) {
    at::Tensor(tensor).copy_(opened[where.at(name)].read(name));
    where.erase(name);
  }
  for (const auto& [name, file] : where)
    if (reads_all) (void)opened[file].read(name);
}

// Nobody knows what other files than those in the manifest hold, so none of them is read.
fs::path named_file(const fs::path& folder, const formats::Manifest& manifest, const std::string& name) {
  if (manifest.files.count(name) == 0)
    throw UserError(fmt::format("{} does not name {}", (folder / "manifest.json").string(), name));
  return folder / name;
}

std::vector<fs::path> optimizer_files(const fs::path& folder, const formats::Manifest& manifest) {
  std::vector<fs::path> files;
  for (const auto& [name, record] : manifest.files)
    if (name.starts_with("optimizer")) files.push_back(folder / name);
  return files;
}

// The last good steps as [loss, gradient norm] each; doubles come back as they were.
json recent_steps(const StepJudge& judge) {
  json steps = json::array();
  for (const auto& step : judge.recent()) steps.push_back({step.loss, step.gradient_norm});
  return steps;
}

void restore_recent_steps(const json& saved, StepJudge& judge) {
  std::deque<StepValues> steps;
  for (const auto& step : saved.value("recent_steps", json::array()))
    steps.push_back({step.at(0).get<double>(), step.at(1).get<double>()});
  judge.set_recent(steps);
}

CheckpointFacts facts_of(const json& saved) {
  CheckpointFacts facts{.seconds = saved.at("seconds").get<double>(),
                        .threads = saved.value("threads", int64_t{0})};
  facts.data = saved.value("data", facts.data);
  facts.inputs = saved.value("inputs", facts.inputs);
  facts.excluded = features::parse_excluded(saved.value("excluded", ""), "excluded in state.json");
  return facts;
}

void require_optimizer(const json& saved, const std::string& name, const fs::path& folder) {
  const std::string was = saved.value("optimizer", "adamw");
  if (was != name)
    throw UserError(fmt::format(
        "{} holds the state of optimizer {}, but optimizer.name is {}. Set it back, or start another stage.",
        folder.string(), was, name));
}

using Hashes = std::map<std::string, std::string>;

void compare_data(const Hashes& saved, const Hashes& now, Problems& problems) {
  if (saved.empty()) return;
  for (const auto& [source, fingerprint] : now) {
    const auto was = saved.find(source);
    if (was == saved.end())
      problems.add(fmt::format("source {} is new", source));
    else if (was->second != fingerprint)
      problems.add(fmt::format("source {} has changed (fingerprint {} at the checkpoint, {} now)", source,
                               was->second, fingerprint));
  }
}

void compare_inputs(const Hashes& saved, const Hashes& now, Problems& problems) {
  for (const auto& [name, hash] : now)
    if (const auto was = saved.find(name); was != saved.end() && was->second != hash)
      problems.add(
          fmt::format("{} has changed (hash {} at the checkpoint, {} now)", name, was->second, hash));
}

void require_same(const CheckpointFacts& saved, const Hashes& data, const Hashes& inputs,
                  const fs::path& folder) {
  Problems problems;
  compare_data(saved.data, data, problems);
  compare_inputs(saved.inputs, inputs, problems);
  problems.throw_if_any(fmt::format(
      "{} was trained on other data, so this run cannot continue. Restore the data, or start a new run",
      folder.string()));
}

}  // namespace

run::CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                          const CheckpointFacts& facts) {
  const auto state = trainer.state();
  const json saved = {{"step", *state.step},
                      {"optimizer", word_of(state.optimizer->name())},
                      {"optimizer_steps", state.optimizer->steps()},
                      {"skipped", *state.skipped},
                      {"seconds", facts.seconds},
                      {"data", facts.data},
                      {"inputs", facts.inputs},
                      {"threads", facts.threads},
                      {"recent_steps", recent_steps(*state.judge)},
                      {"excluded", features::lines_of(facts.excluded)}};
  run::CheckpointContent content{
      .step = *state.step, .metadata = facts.metadata, .state = saved.dump(1) + "\n"};
  const at::Tensor ema = trainer.whole_ema();
  const bool is_first = trainer.ranks().rank() == 0;
  if (is_first) {
    content.files.push_back({"model", named_views(model, trainer.views(state.values))});
    content.files.push_back({"ema", named_views(model, trainer.views(ema))});
  }
  if (!trainer.power_emas().empty()) {
    auto emas = whole_power_emas(trainer, model);
    if (is_first) content.files.push_back({"power_ema", std::move(emas)});
  }
  if (is_first || trainer.is_sharded())
    content.files.push_back({optimizer_file(trainer), optimizer_tensors(trainer, model)});
  return content;
}

void store_power_emas(const fs::path& folder, Trainer& trainer, const nn::StateDict& model,
                      const CheckpointFacts& facts) {
  const auto state = trainer.state();
  const auto emas = whole_power_emas(trainer, model);
  const int64_t updates = state.optimizer->steps();
  distributed::on_first_rank(
      trainer.ranks(), fmt::format("step {}: storing the power EMAs", *state.step), [&] {
        if (updates == 0) return;  // all steps were bad
        auto metadata = facts.metadata;
        metadata[optim::kPowerEmaKey] =
            optim::text_of({.updates = updates, .lengths = trainer.config().power_ema.lengths});
        create_folders(folder);
        formats::save_safetensors(folder / fmt::format("step-{:08d}.safetensors", *state.step), emas,
                                  metadata);
      });
}

void save_checkpoint(const fs::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const CheckpointFacts& facts) {
  PIXART_CHECK(trainer.ranks().world_size() == 1, "ranks save through a CheckpointWriter");
  run::write_checkpoint(stage_folder, checkpoint_content(trainer, model, facts));
}

CheckpointFacts load_checkpoint(const fs::path& folder, Trainer& trainer, nn::StateDict& model,
                                const std::map<std::string, std::string>& data,
                                const std::map<std::string, std::string>& inputs) {
  const auto state = trainer.state();
  const formats::Manifest manifest = unless_damaged([&] { return formats::read_manifest(folder); });
  const fs::path model_file = named_file(folder, manifest, "model.safetensors"),
                 ema_file = named_file(folder, manifest, "ema.safetensors");
  const fs::path state_file = named_file(folder, manifest, "state.json");
  unless_damaged([&] { formats::check_hashes(folder, manifest, "state.json"); });
  const json saved = json::parse(read_file(state_file));
  require_optimizer(saved, word_of(state.optimizer->name()), folder);
  CheckpointFacts facts = facts_of(saved);
  require_same(facts, data, inputs, folder);
  const auto weights = open_verified(model_file);
  facts.metadata = weights.metadata;
  nn::load_state(model, formats::read_all(weights), model_file.string());
  const bool is_first = trainer.ranks().rank() == 0;
  restore(ema_tensors(trainer, model), {ema_file}, ema_file.string(), is_first);
  if (!trainer.power_emas().empty()) {
    const fs::path file = named_file(folder, manifest, "power_ema.safetensors");
    restore(own_power_emas(trainer, model), {file}, file.string(), is_first);
  }
  restore(optimizer_tensors(trainer, model), optimizer_files(folder, manifest),
          (folder / "optimizer").string(), is_first);
  *state.step = saved.at("step").get<int64_t>();
  *state.skipped = saved.at("skipped").get<int64_t>();
  restore_recent_steps(saved, *state.judge);
  state.optimizer->steps() = saved.at("optimizer_steps").get<int64_t>();
  return facts;
}

std::optional<CheckpointFacts> recorded_facts(const fs::path& stage_folder) {
  const auto all = run::list_checkpoints(stage_folder);
  if (all.empty()) return std::nullopt;
  try {
    return facts_of(json::parse(read_file(all.back().folder / "state.json")));
  } catch (const UserError&) {  // the checkpoint is damaged; the stage says more when it continues
  } catch (const json::exception&) {
  }
  return std::nullopt;
}

void require_finite(Trainer& trainer) {
  const auto state = trainer.state();
  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.numel() == 0) return;
    names.push_back(name);
    tensors.push_back(tensor);
  };
  add("a weight", state.values);
  add("the EMA", state.ema);
  for (const auto& ema : trainer.power_emas()) add("a power EMA", ema);
  for (const auto& item : trainer.optimizer_state()) add("the optimizer's " + item.key, item.tensor);
  // The largest absolute value of each; NaN if there is one in it. The host waits once.
  const at::Tensor largest = at::stack(at::_foreach_norm(tensors, INFINITY)).cpu();
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::isfinite(largest[int64_t(i)].item<double>())) continue;
    throw UserError(
        fmt::format("step {}: {} is not finite, so nothing was saved. The last checkpoint is good; start the "
                    "same command again. If the error comes back at the same step, lower optimizer.lr; if it "
                    "does not, suspect this machine's memory.",
                    *state.step, names[i]),
        ExitCode::kNumerics);
  }
}

}  // namespace pixart::train
