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
#include "weight_sets.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

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

bool all_tensors(const PickleDict& dict) {
  return std::all_of(dict.begin(), dict.end(), [](const auto& entry) {
    return std::holds_alternative<PickleTensor>(entry.second.value);
  });
}

// Names of the classes whose objects were passed over. Types and devices are part of every training file.
void find_opaque(const PickleValue& value, std::set<std::string>& names) {
  if (const auto* opaque = std::get_if<Opaque>(&value.value)) {
    const bool is_plain = opaque->global.find('.') == std::string::npos;  // "bytes"
    if (!is_plain && !opaque->global.starts_with("torch.")) names.insert(opaque->global);
  } else if (const auto* list = std::get_if<std::shared_ptr<PickleList>>(&value.value)) {
    for (const auto& item : **list) find_opaque(item, names);
  } else if (const PickleDict* dict = as_dict(value)) {
    for (const auto& [key, item] : *dict) find_opaque(item, names);
  }
}

[[noreturn]] void refuse_empty(const fs::path& path, const std::set<std::string>& opaque) {
  if (opaque.empty()) throw UserError(path.string() + " has no tensors.");
  throw UserError(fmt::format(
      "{} has no tensors, but objects that only their Python classes can rebuild: {}. Save only the weights, "
      "torch.save(model.state_dict(), ...), or as safetensors.",
      path.string(), name_some({opaque.begin(), opaque.end()})));
}

Weights open_pytorch(const fs::path& path, const std::string& which) {
  const PickleValue root = open_pth(path);
  const bool is_flat = as_dict(root) != nullptr && which != "model" && all_tensors(*as_dict(root));
  const WeightSet chosen = is_flat ? WeightSet{&root} : choose_set(root, which, path.string());
  std::set<std::string> opaque;
  find_opaque(root, opaque);
  const auto tensors = std::make_shared<std::map<std::string, PickleTensor>>();
  Weights weights{
      .metadata = metadata_of(root), .files = {path}, .kind = "PyTorch", .other_sets = chosen.others};
  for (auto& [name, tensor] : flatten_tensors(*chosen.value, ".")) {
    weights.tensors.emplace(name, WeightInfo{tensor.dtype, tensor.shape});
    if (!tensors->emplace(name, std::move(tensor)).second)
      throw UserError(fmt::format("{}: two tensors are called {} after nested names are joined.",
                                  path.string(), shown(name)));
  }
  if (tensors->empty()) refuse_empty(path, opaque);
  if (chosen.path.find('.') != std::string::npos)
    weights.notes.push_back(fmt::format("the weights are in the entry '{}'", chosen.path));
  if (!opaque.empty())
    weights.notes.push_back("passed over, without making them: objects of " +
                            name_some({opaque.begin(), opaque.end()}));
  weights.read = [tensors](const std::string& name) { return tensors->at(name).read().contiguous(); };
  return is_flat ? choose_flat_set(std::move(weights), which, path.string()) : weights;
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
  const auto saved = saved_record(path);
  Weights weights = open_safetensors(path);
  if (saved) weights = compared(std::move(weights), path, *saved);
  return which == "model" ? weights : choose_flat_set(std::move(weights), which, path.string());
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
  Weights weights{.kind = fmt::format("{} shard{}", files.size(), files.size() == 1 ? "" : "s")};
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
    if (weights.notes.empty()) weights.notes = shard.notes;
    shards->emplace(file, std::move(shard));
  }
  for (const auto& [name, file] : map)
    if (weights.tensors.count(name) == 0)
      problems.add(fmt::format("shard {} has no tensor {}", file, shown(name)));
  problems.throw_if_any(index.string());
  weights.read = [shards, map](const std::string& name) { return shards->at(map.at(name)).read(name); };
  return weights;
}

// "" first: the weights as they were saved.
constexpr const char* kVariants[] = {"", "fp32", "bf16", "fp16", "non_ema", "ema"};

// Names of one variant in order of preference, as diffusers and transformers write them.
Names usual_names(const std::string& variant) {
  const std::string v = variant.empty() ? "" : "." + variant;
  Names names;
  for (const char* ending : {"safetensors", "bin"}) {
    for (const char* stem : {"model", "diffusion_pytorch_model", "pytorch_model"}) {
      if (std::string(ending) == "bin" && std::string(stem) == "model") continue;
      names.push_back(fmt::format("{}{}.{}", stem, v, ending));
      names.push_back(fmt::format("{}.{}.index{}.json", stem, ending, v));
      if (!variant.empty()) names.push_back(fmt::format("{}{}.{}.index.json", stem, v, ending));
    }
  }
  return names;
}

bool has_variant(const fs::path& folder, const std::string& variant) {
  const Names names = usual_names(variant);
  return std::any_of(names.begin(), names.end(), [&](const auto& name) { return fs::exists(folder / name); });
}

// The first file that exists. The EMA is a variant, or a set of the file.
Weights open_usual(const fs::path& folder, const std::string& which) {
  const bool takes_ema = which == "ema" && has_variant(folder, "ema");
  for (const std::string variant : kVariants) {
    if (takes_ema && variant != "ema") continue;
    for (const auto& name : usual_names(variant)) {
      if (!fs::exists(folder / name)) continue;
      Weights weights = open_weights(folder / name, takes_ema ? "model" : which);
      if (!variant.empty()) weights.notes.push_back(fmt::format("read {} (variant {})", name, variant));
      return weights;
    }
  }
  const bool are_emas = fs::absolute(folder).lexically_normal().parent_path().filename() == "power_ema";
  throw UserError(fmt::format(
      "{} has no file of weights with a usual name ({}; or a variant such as "
      "model.fp16.safetensors).{}",
      folder.string(), join(usual_names(""), ", "),
      are_emas ? " It may have stored EMAs: `pixart convert` makes the EMA of one length from them, see "
                 "its --ema-length."
               : ""));
}

Weights open_folder(const fs::path& folder, const std::string& which) {
  if (is_checkpoint_folder(folder)) {
    if (which != "model" && which != "ema") refuse_choice(folder.string(), which, {"model", "ema"});
    return open_saved(folder, which);
  }
  return open_usual(folder, which);
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

Weights shapes_only(Weights weights) {
  weights.read = [tensors = weights.tensors](const std::string& name) {
    const WeightInfo& info = tensors.at(name);
    return at::empty(info.shape, at::TensorOptions().dtype(info.dtype).device(at::kMeta));
  };
  return weights;
}

TensorFile load_weights(const fs::path& path, const std::string& which) {
  const Weights weights = open_weights(path, which);
  return {read_all(weights), weights.metadata};
}

}  // namespace pixart::formats
