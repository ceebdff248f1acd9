// Weights in whatever layout they come: single files, shards with an index, folders with the usual names.
#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/pth.h"
#include "pixart/formats/tensor_file.h"
#include "pth_part.h"

namespace pixart::formats {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestIndex = 64 << 20;

// By name, and by content where the name says nothing.
bool is_pytorch(const fs::path& path) {
  const std::string extension = path.extension();
  if (extension == ".safetensors") return false;
  if (extension == ".pth" || extension == ".pt" || extension == ".bin" || extension == ".ckpt") return true;
  const InputFile file(path);
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 4), 0);
  return head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02");
}

TensorFile load_pytorch(const fs::path& path, const std::string& wrapper) {
  TensorFile result;
  for (auto& [name, tensor] : flatten_tensors(load_pth_part(path, wrapper), ".")) {
    if (!result.tensors.emplace(name, tensor.contiguous()).second)
      throw UserError(fmt::format("{}: two tensors are called {} once nested names are joined.",
                                  path.string(), shown(name)));
  }
  if (result.tensors.empty()) throw UserError(path.string() + " holds no tensors.");
  return result;
}

TensorFile load_file(const fs::path& path, const std::string& wrapper) {
  return is_pytorch(path) ? load_pytorch(path, wrapper) : load_safetensors(path);
}

// Keys that stand twice in the same object; the JSON library itself keeps the last without a word.
class DuplicateKeys {
 public:
  bool operator()(json::parse_event_t event, const json& value) {
    if (event == json::parse_event_t::object_start) open_.emplace_back();
    if (event == json::parse_event_t::object_end) open_.pop_back();
    if (event == json::parse_event_t::key && !open_.back().insert(value.get<std::string>()).second)
      found_.push_back(value.get<std::string>());
    return true;
  }
  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::vector<std::string> found_;
};

bool is_bare_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// {"weight_map": {tensor name: file name}}. Shards stand beside the index; they may be links, as in the cache
// of the Hugging Face hub.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  DuplicateKeys duplicates;
  const auto watch = [&](int, json::parse_event_t event, json& value) { return duplicates(event, value); };
  const json parsed = json::parse(read_file(index, kLargestIndex), watch, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object() ||
      parsed["weight_map"].empty()) {
    throw UserError(index.string() +
                    " is no index of weight shards: a JSON object with a filled weight_map is needed.");
  }
  std::map<std::string, std::string> map;
  Problems problems;
  for (const auto& key : duplicates.found()) problems.add(fmt::format("{} stands twice", shown(key)));
  for (const auto& [name, file] : parsed["weight_map"].items()) {
    if (file.is_string() && is_bare_name(file.get<std::string>())) {
      map.emplace(name, file.get<std::string>());
    } else {
      problems.add(fmt::format("tensor {}: {} is no plain file name", shown(name), shown(file.dump())));
    }
  }
  problems.throw_if_any(index.string());
  return map;
}

void move_shard(TensorFile shard, const std::string& file, const std::map<std::string, std::string>& map,
                TensorFile& result, Problems& problems) {
  for (auto& [name, tensor] : shard.tensors) {
    const auto found = map.find(name);
    if (found != map.end() && found->second == file) {
      result.tensors.emplace(name, std::move(tensor));
    } else {
      problems.add(
          fmt::format("shard {} holds tensor {}, which the index does not place there", file, shown(name)));
    }
  }
}

TensorFile load_shards(const fs::path& index, const std::string& wrapper) {
  const auto map = read_weight_map(index);
  std::set<std::string> files;
  for (const auto& [name, file] : map) files.insert(file);
  TensorFile result;
  Problems problems;
  for (const auto& file : files) {
    if (!fs::exists(index.parent_path() / file)) problems.add(fmt::format("shard {} is missing", file));
  }
  problems.throw_if_any(index.string());  // before gigabytes are read
  for (const auto& file : files)
    move_shard(load_file(index.parent_path() / file, wrapper), file, map, result, problems);
  for (const auto& [name, file] : map) {
    if (result.tensors.count(name) == 0)
      problems.add(fmt::format("shard {} has no tensor {}", file, shown(name)));
  }
  problems.throw_if_any(index.string());
  return result;
}

// Preferred ones first.
const std::vector<std::string>& usual_names() {
  static const std::vector<std::string> names = {"model.safetensors",
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

}  // namespace

TensorFile load_weights(const fs::path& path, const std::string& wrapper) {
  if (!fs::exists(path))
    throw UserError(path.string() + " does not exist; a weight file or a folder with one is needed.");
  if (!fs::is_directory(path))
    return path.extension() == ".json" ? load_shards(path, wrapper) : load_file(path, wrapper);
  for (const auto& name : usual_names()) {
    if (fs::exists(path / name)) return load_weights(path / name, wrapper);
  }
  throw UserError(
      fmt::format("{} holds no weights under a usual name ({}).", path.string(), join(usual_names(), ", ")));
}

}  // namespace pixart::formats
