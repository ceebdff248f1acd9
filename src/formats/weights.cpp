// Weights in whatever layout they come: single files, shards with an index, folders with the usual names.
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/pth.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::formats {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestIndex = 64 << 20;

bool is_pytorch(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".pth" || extension == ".pt" || extension == ".bin" || extension == ".ckpt";
}

// The dict under `wrapper`, if the top level has one, else the top level itself.
PickleValue unwrap(PickleValue value, const std::string& wrapper) {
  const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value);
  if (dict == nullptr) return value;
  for (const auto& [key, inner] : **dict) {
    const auto* name = std::get_if<std::string>(&key.value);
    if (name != nullptr && *name == wrapper && std::holds_alternative<std::shared_ptr<PickleDict>>(inner.value)) return inner;
  }
  return value;
}

TensorFile load_pytorch(const fs::path& path, const std::string& wrapper) {
  TensorFile result;
  for (auto& [name, tensor] : flatten_tensors(unwrap(load_pth(path), wrapper), ".")) result.tensors.emplace(name, tensor);
  if (result.tensors.empty()) throw UserError(path.string() + " holds no tensors.");
  return result;
}

TensorFile load_file(const fs::path& path, const std::string& wrapper) { return is_pytorch(path) ? load_pytorch(path, wrapper) : load_safetensors(path); }

// {"weight_map": {tensor name: file name}}; files stand beside the index.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const json parsed = json::parse(read_file(index, kLargestIndex), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) throw UserError(index.string() + " is no index of weight shards: an object with weight_map is needed.");
  std::map<std::string, std::string> map;
  Problems problems;
  for (const auto& [name, file] : parsed["weight_map"].items()) {
    const std::string text = file.is_string() ? file.get<std::string>() : "";
    if (text.empty() || text.find('/') != std::string::npos || text == "." || text == ".." || text.find('\0') != std::string::npos) problems.add(fmt::format("tensor {}: '{}' is no plain file name", name, file.dump()));
    else map.emplace(name, text);
  }
  problems.throw_if_any(index.string());
  return map;
}

TensorFile load_shards(const fs::path& index, const std::string& wrapper) {
  const auto map = read_weight_map(index);
  std::map<std::string, std::vector<std::string>> names_of;
  for (const auto& [name, file] : map) names_of[file].push_back(name);
  TensorFile result;
  Problems problems;
  for (const auto& [file, names] : names_of) {
    const fs::path path = index.parent_path() / file;
    if (!fs::exists(path)) {
      problems.add(fmt::format("shard {} is missing", file));
      continue;
    }
    auto shard = load_file(path, wrapper).tensors;
    for (const auto& name : names) {
      const auto found = shard.find(name);
      if (found == shard.end()) problems.add(fmt::format("shard {} has no tensor {}", file, name));
      else result.tensors.emplace(name, std::move(found->second)), shard.erase(found);
    }
    for (const auto& [name, tensor] : shard) problems.add(fmt::format("shard {} holds tensor {}, which the index does not place there", file, name));
  }
  problems.throw_if_any(index.string());
  return result;
}

const std::vector<std::string>& usual_names() {
  static const std::vector<std::string> names = {"model.safetensors", "diffusion_pytorch_model.safetensors", "model.safetensors.index.json",
                                                 "diffusion_pytorch_model.safetensors.index.json", "pytorch_model.bin", "diffusion_pytorch_model.bin",
                                                 "pytorch_model.bin.index.json", "diffusion_pytorch_model.bin.index.json"};
  return names;
}

}  // namespace

TensorFile load_weights(const fs::path& path, const std::string& wrapper) {
  if (!fs::exists(path)) throw UserError(path.string() + " does not exist; a weight file or a folder with one is needed.");
  if (!fs::is_directory(path)) return path.extension() == ".json" ? load_shards(path, wrapper) : load_file(path, wrapper);
  for (const auto& name : usual_names())
    if (fs::exists(path / name)) return load_weights(path / name, wrapper);
  throw UserError(fmt::format("{} holds no weights under a usual name ({}).", path.string(), join(usual_names(), ", ")));
}

}  // namespace pixart::formats
