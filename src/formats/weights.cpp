#include "pixart/formats/weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <set>

#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/formats/tensor_file.h"
#include "pth.h"
#include "saved_weights.h"
#include "weight_index.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

// Keys under which training programs save weights, in contrast to the optimizer's state and other data.
const std::map<std::string, Names>& sets_of_names() {
  static const std::map<std::string, Names> names = {
      {"model", {"state_dict", "model", "model_state_dict", "module", "params", "generator"}},
      {"ema", {"state_dict_ema", "ema", "ema_state_dict", "params_ema"}}};
  return names;
}

const PickleDict* as_dict(const PickleValue& value) {
  const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value);
  return dict != nullptr ? dict->get() : nullptr;
}

struct WeightSet {
  const PickleValue* value = nullptr;
  Names others = {};
};

[[noreturn]] void refuse_choice(const std::string& file, const std::string& which, const Names& sets) {
  if (sets.empty()) {
    throw UserError(
        fmt::format("{} has only one set of weights, none called '{}'. Do not choose a set.", file, which));
  }
  throw UserError(fmt::format("{} has no weights called '{}', but has: {}. Choose one of these.", file, which,
                              join(sets, ", ")));
}

// The dictionary of the weights: the top level, or the entry for the wanted set.
WeightSet choose_set(const PickleValue& root, const std::string& which, const std::string& file) {
  const PickleDict* top = as_dict(root);
  static const PickleDict nothing;
  Names sets;
  std::vector<const PickleValue*> values;
  bool has_tensor = false;
  // The result has pointers to values of this dictionary, so the code must not walk a copy of it.
  for (const auto& [key, value] : top != nullptr ? *top : nothing) {
    has_tensor |= std::holds_alternative<PickleTensor>(value.value);
    const auto* name = std::get_if<std::string>(&key.value);
    if (name == nullptr || as_dict(value) == nullptr) continue;
    const bool known = *name == which || contains(sets_of_names().at("model"), *name) ||
                       contains(sets_of_names().at("ema"), *name);
    if (known) sets.push_back(*name), values.push_back(&value);
  }
  const auto group = sets_of_names().find(which);
  std::vector<size_t> wanted;
  for (size_t i = 0; i < sets.size(); ++i) {
    if (sets[i] == which || (group != sets_of_names().end() && contains(group->second, sets[i])))
      wanted.push_back(i);
  }
  if (wanted.size() > 1) refuse_choice(file, which, sets);
  if (wanted.empty()) {
    if (which == "model" && (sets.empty() || has_tensor)) return {&root};
    refuse_choice(file, which, sets);
  }
  WeightSet chosen{values[wanted.front()]};
  for (size_t i = 0; i < sets.size(); ++i)
    if (i != wanted.front()) chosen.others.push_back(sets[i]);
  return chosen;
}

// Text that write_pth() and other programs save next to the weights.
Metadata metadata_of(const PickleValue& root) {
  Metadata metadata;
  if (as_dict(root) == nullptr) return metadata;
  for (const auto& [key, value] : *as_dict(root)) {
    const auto* name = std::get_if<std::string>(&key.value);
    if (name == nullptr || *name != "metadata" || as_dict(value) == nullptr) continue;
    for (const auto& [inner, text] : *as_dict(value)) {
      const auto *inner_name = std::get_if<std::string>(&inner.value),
                 *inner_text = std::get_if<std::string>(&text.value);
      if (inner_name != nullptr && inner_text != nullptr) metadata.emplace(*inner_name, *inner_text);
    }
  }
  return metadata;
}

Weights open_pytorch(const fs::path& path, const std::string& which) {
  const PickleValue root = open_pth(path);
  const WeightSet chosen = choose_set(root, which, path.string());
  const auto tensors = std::make_shared<std::map<std::string, PickleTensor>>();
  Weights weights{
      .metadata = metadata_of(root), .files = {path}, .kind = "PyTorch", .other_sets = chosen.others};
  for (auto& [name, tensor] : flatten_tensors(*chosen.value, ".")) {
    weights.tensors.emplace(name, WeightInfo{tensor.dtype, tensor.shape});
    if (!tensors->emplace(name, std::move(tensor)).second)
      throw UserError(fmt::format("{}: two tensors are called {} after nested names are joined.",
                                  path.string(), shown(name)));
  }
  if (tensors->empty()) throw UserError(path.string() + " has no tensors.");
  weights.read = [tensors](const std::string& name) { return tensors->at(name).read().contiguous(); };
  return weights;
}

// Decides by the name, and by the content if the name does not tell.
bool is_pytorch(const fs::path& path) {
  const std::string extension = path.extension();
  if (extension == ".safetensors") return false;
  if (extension == ".pth" || extension == ".pt" || extension == ".bin" || extension == ".ckpt") return true;
  const InputFile file(path);
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 4), 0);
  return head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02");
}

Weights open_file(const fs::path& path, const std::string& which) {
  if (is_pytorch(path)) return open_pytorch(path, which);
  if (which != "model") refuse_choice(path.string(), which, {});
  const auto saved = saved_record(path);
  return saved ? compared(open_safetensors(path), path, *saved) : open_safetensors(path);
}

Weights open_shards(const fs::path& index, const std::string& which) {
  const auto map = read_weight_index(index);
  std::set<std::string> files;
  for (const auto& [name, file] : map) files.insert(file);
  Problems problems;
  for (const auto& file : files)
    if (!fs::exists(index.parent_path() / file)) problems.add(fmt::format("shard {} is missing", file));
  problems.throw_if_any(index.string());

  const auto shards = std::make_shared<std::map<std::string, Weights>>();
  Weights weights{.kind = fmt::format("{} shards", files.size())};
  for (const auto& file : files) {
    Weights shard = open_file(index.parent_path() / file, which);
    for (const auto& [name, info] : shard.tensors) {
      const auto found = map.find(name);
      if (found != map.end() && found->second == file)
        weights.tensors.emplace(name, info);
      else
        problems.add(
            fmt::format("shard {} has tensor {}, but the index does not list it there", file, shown(name)));
    }
    weights.files.push_back(index.parent_path() / file);
    if (weights.metadata.empty()) weights.metadata = shard.metadata;
    shards->emplace(file, std::move(shard));
  }
  for (const auto& [name, file] : map)
    if (weights.tensors.count(name) == 0)
      problems.add(fmt::format("shard {} has no tensor {}", file, shown(name)));
  problems.throw_if_any(index.string());
  weights.read = [shards, map](const std::string& name) { return shards->at(map.at(name)).read(name); };
  return weights;
}

// In order of preference.
const Names& usual_names() {
  static const Names names = {"model.safetensors",
                              "diffusion_pytorch_model.safetensors",
                              "model.safetensors.index.json",
                              "diffusion_pytorch_model.safetensors.index.json",
                              "pytorch_model.bin",
                              "diffusion_pytorch_model.bin",
                              "pytorch_model.bin.index.json",
                              "diffusion_pytorch_model.bin.index.json",
                              "model.fp16.safetensors",
                              "diffusion_pytorch_model.fp16.safetensors"};
  return names;
}

Weights open_folder(const fs::path& folder, const std::string& which) {
  if (is_checkpoint_folder(folder)) {
    if (which != "model" && which != "ema") refuse_choice(folder.string(), which, {"model", "ema"});
    return open_saved(folder, which);
  }
  for (const auto& name : usual_names())
    if (fs::exists(folder / name)) return open_weights(folder / name, which);
  throw UserError(fmt::format("{} has no file of weights with a usual name ({}).", folder.string(),
                              join(usual_names(), ", ")));
}

}  // namespace

int64_t WeightInfo::numel() const {
  int64_t count = 1;
  for (const int64_t side : shape) count *= side;
  return count;
}

uint64_t WeightInfo::bytes() const { return uint64_t(numel()) * c10::elementSize(dtype); }

uint64_t Weights::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, info] : tensors) sum += info.bytes();
  return sum;
}

Weights open_weights(const fs::path& path, const std::string& which) {
  if (!fs::exists(path))
    throw UserError(path.string() + " does not exist; expected a weight file or a folder with one.");
  if (fs::is_directory(path)) return open_folder(path, which);
  return path.extension() == ".json" ? open_shards(path, which) : open_file(path, which);
}

std::map<std::string, at::Tensor> read_all(const Weights& weights) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, info] : weights.tensors) tensors.emplace(name, weights.read(name));
  return tensors;
}

TensorFile load_weights(const fs::path& path, const std::string& which) {
  const Weights weights = open_weights(path, which);
  return {read_all(weights), weights.metadata};
}

}  // namespace pixart::formats
