// Weights in whatever layout they come: single files, shards with an index, folders with the usual names.
#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/pth.h"
#include "pixart/formats/tensor_file.h"
#include "pth_part.h"
#include "weight_index.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

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
  const auto map = read_weight_index(index);
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
