#include "pixart/train/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kFormatVersion = 1;

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

std::string folder_name(int64_t step) { return fmt::format("step-{:08d}", step); }

}  // namespace

std::vector<Checkpoint> list_checkpoints(const fs::path& stage_folder) {
  static const std::regex pattern("^step-([0-9]{8})$");
  std::vector<Checkpoint> result;
  if (!fs::is_directory(stage_folder)) return result;
  for (const auto& entry : fs::directory_iterator(stage_folder)) {
    std::smatch match;
    const std::string name = entry.path().filename();
    if (entry.is_directory() && std::regex_match(name, match, pattern))
      result.push_back({entry.path(), std::stoll(match[1])});
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return result;
}

std::string verify_checkpoint(const fs::path& folder) {
  try {
    const json manifest = json::parse(read_file(folder / "manifest.json"));
    if (manifest.at("format_version").get<int>() > kFormatVersion)
      return "it was written by a newer version of pixart";
    for (const auto& [name, entry] : manifest.at("files").items()) {
      const fs::path file = folder / name;
      if (!fs::exists(file)) return name + " is missing";
      if (fs::file_size(file) != entry.at("bytes").get<uint64_t>())
        return name + " has another size than when it was saved";
      if (formats::sha256_of_file(file) != entry.at("sha256").get<std::string>())
        return name + " was changed since it was saved (SHA-256 differs)";
    }
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::optional<Checkpoint> newest_good_checkpoint(const fs::path& stage_folder) {
  auto all = list_checkpoints(stage_folder);
  for (auto candidate = all.rbegin(); candidate != all.rend(); ++candidate) {
    const std::string problem = verify_checkpoint(candidate->folder);
    if (problem.empty()) return *candidate;
    log::warning("checkpoint {} is not used: {}. Falling back to the one before.", candidate->folder.string(),
                 problem);
  }
  return std::nullopt;
}

void save_checkpoint(const fs::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const std::map<std::string, std::string>& metadata, double seconds) {
  const auto state = trainer.state();
  create_folders(stage_folder);
  StagedFolder staged(stage_folder / folder_name(*state.step));
  formats::save_safetensors(staged.path() / "model.safetensors",
                            named_views(model, trainer.views(state.values)), metadata);
  formats::save_safetensors(staged.path() / "ema.safetensors", named_views(model, trainer.views(state.ema)),
                            metadata);
  formats::save_safetensors(staged.path() / "optimizer.safetensors", optimizer_tensors(trainer, model),
                            metadata);
  const json saved = {{"step", *state.step},
                      {"optimizer_steps", state.optimizer->steps},
                      {"skipped", *state.skipped},
                      {"seconds", seconds}};
  write_file_atomically(staged.path() / "state.json", saved.dump(1) + "\n");

  json manifest = {{"format_version", kFormatVersion}, {"step", *state.step}, {"files", json::object()}};
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    const fs::path file = staged.path() / name;
    manifest["files"][name] = {{"bytes", fs::file_size(file)}, {"sha256", formats::sha256_of_file(file)}};
  }
  write_file_atomically(staged.path() / "manifest.json", manifest.dump(1) + "\n");
  staged.commit();
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

void prune_checkpoints(const fs::path& stage_folder, int64_t keep_last,
                       const std::vector<int64_t>& keep_steps) {
  const auto all = list_checkpoints(stage_folder);
  for (size_t i = 0; i + size_t(keep_last) < all.size(); ++i) {
    if (std::find(keep_steps.begin(), keep_steps.end(), all[i].step) != keep_steps.end()) continue;
    // Renamed first: a half-deleted folder must not look like a checkpoint.
    const fs::path doomed = stage_folder / (".tmp-delete-" + all[i].folder.filename().string());
    fs::rename(all[i].folder, doomed);
    fs::remove_all(doomed);
  }
}

}  // namespace pixart::train
