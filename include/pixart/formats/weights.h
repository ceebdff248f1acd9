// Weights: a set of named tensors that are described at once and read when asked for. What a file holds, what
// a conversion makes of it and what is written are all of this type, so a conversion never has more than a
// few tensors in memory.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/file.h"

namespace pixart::formats {

using Metadata = std::map<std::string, std::string>;

// As safetensors spells it ("F32"); PyTorch's word for a type that safetensors does not have.
std::string dtype_text(at::ScalarType dtype);

struct WeightInfo {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  int64_t numel() const;
  uint64_t bytes() const;
};

struct Weights {
  std::map<std::string, WeightInfo> tensors = {};
  Metadata metadata = {};
  // One of `tensors`, on the CPU, contiguous. Throws UserError. Any thread may call it, one at a time.
  std::function<at::Tensor(const std::string&)> read = {};
  std::vector<std::filesystem::path> files = {};  // they come from
  std::string kind = {};                          // "safetensors", "PyTorch", "2 shards"
  std::vector<std::string> other_sets = {};       // of the file, which were not chosen ("ema")
  uint64_t bytes() const;
};

// Weights in whatever layout they come: a .safetensors file, a sharded *.index.json (safetensors or PyTorch
// shards), a PyTorch .pth/.bin/.pt, a checkpoint folder of ours, or a folder that holds one of the usual
// names (model.safetensors, diffusion_pytorch_model.safetensors, pytorch_model.bin, their index files, ...).
//
// `which` names the set of a file that holds several: "model" (state_dict, model, ...), "ema"
// (state_dict_ema, ema, ...), or a top-level key itself. Nested dicts of a PyTorch file are joined with '.'.
// Throws UserError; also where the file holds no such set.
Weights open_weights(const std::filesystem::path& path, const std::string& which = "model");

// The same, of one safetensors file.
Weights open_safetensors(const std::filesystem::path& path);

std::map<std::string, at::Tensor> read_all(const Weights& weights);

// Called when all tensors have been read; may change values of the metadata, not their lengths (the hash of a
// file that is computed meanwhile).
using CompleteMetadata = std::function<void(Metadata&)>;

// Writes atomically, reading one tensor after the other. `metadata` gets {"format": "pt"} added.
void write_safetensors(const std::filesystem::path& path, const Weights& weights,
                       const CompleteMetadata& complete = {}, Durability durability = Durability::kNow);

// The bytes of the file that write_safetensors writes, in order: the header (with an empty name), then each
// tensor.
using SafetensorsSink = std::function<void(const std::string& tensor, std::string_view bytes)>;
void stream_safetensors(const Weights& weights, const SafetensorsSink& sink);

// As Hugging Face's libraries do: <folder>/<stem>.safetensors, or, above `shard_bytes`,
// <stem>-00001-of-00002.safetensors ... and <stem>.safetensors.index.json.
void write_safetensors_shards(const std::filesystem::path& folder, const std::string& stem,
                              const Weights& weights, uint64_t shard_bytes,
                              const CompleteMetadata& complete = {},
                              Durability durability = Durability::kNow);

// A file as torch.save writes it: {"state_dict": OrderedDict of tensors, "metadata": dict of text}.
void write_pth(const std::filesystem::path& path, const Weights& weights,
               const CompleteMetadata& complete = {}, Durability durability = Durability::kNow);

}  // namespace pixart::formats
