// Weights: a set of named tensors that are described at once and read on request. The content of a file, the
// result of a conversion and the weights to be written all have this type, so a conversion never has more
// than a few tensors in memory.
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

// The name in safetensors ("F32"), or PyTorch's name for a type that safetensors does not have.
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
  // Reads one of `tensors`, on the CPU, contiguous. Throws UserError. Any thread may call it, one at a time.
  std::function<at::Tensor(const std::string&)> read = {};
  std::vector<std::filesystem::path> files = {};  // the files of the weights
  std::string kind = {};                          // "safetensors", "PyTorch", "2 shards"
  std::vector<std::string> other_sets = {};       // sets of the file that were not chosen ("ema")
  std::vector<std::string> notes = {};            // for people: where the weights were, what was passed over
  uint64_t bytes() const;
};

// Opens weights in any layout: a .safetensors file, a sharded *.index.json (safetensors or PyTorch shards), a
// PyTorch .pth/.bin/.pt, a checkpoint folder of this program, or a folder with one of the usual names
// (model.safetensors, diffusion_pytorch_model.safetensors, pytorch_model.bin, their index files and variants:
// fp16, bf16, ema, non_ema, ...).
//
// `which` selects a set if the file has several: "model" (state_dict, model, net, ...), "ema"
// (state_dict_ema, ema, ...), or a top-level key. Sets may be inside each other ("ema.module"). Nested dicts
// of a PyTorch file are joined with '.'. Throws UserError, also if the file does not have that set.
Weights open_weights(const std::filesystem::path& path, const std::string& which = "model");

// The same for one safetensors file.
Weights open_safetensors(const std::filesystem::path& path);

// The tensors whose names begin with `prefix`, under the rest of their names.
Weights part_below(Weights weights, const std::string& prefix);

std::map<std::string, at::Tensor> read_all(const Weights& weights);

// The same weights without values: read() returns tensors on the meta device, and no file is read. What is
// done with them checks names and shapes only.
Weights shapes_only(Weights weights);

// Called after all tensors have been read. It may change values of the metadata, but not their lengths, e.g.
// set the hash of a file that was computed during reading.
using CompleteMetadata = std::function<void(Metadata&)>;

// Writes atomically, reading one tensor after the other. Adds {"format": "pt"} to `metadata`.
void write_safetensors(const std::filesystem::path& path, const Weights& weights,
                       const CompleteMetadata& complete = {}, Durability durability = Durability::kNow);

// Passes the bytes of the file that write_safetensors() writes, in order: the header (with an empty name),
// then each tensor.
using SafetensorsSink = std::function<void(const std::string& tensor, std::string_view bytes)>;
void stream_safetensors(const Weights& weights, const SafetensorsSink& sink);

// Names files as Hugging Face's libraries do: <folder>/<stem>.safetensors; if the weights exceed
// `shard_bytes`, <stem>-00001-of-00002.safetensors ... and <stem>.safetensors.index.json.
void write_safetensors_shards(const std::filesystem::path& folder, const std::string& stem,
                              const Weights& weights, uint64_t shard_bytes,
                              const CompleteMetadata& complete = {},
                              Durability durability = Durability::kNow);

// Writes a file like torch.save: {"state_dict": OrderedDict of tensors, "metadata": dict of text}.
void write_pth(const std::filesystem::path& path, const Weights& weights,
               const CompleteMetadata& complete = {}, Durability durability = Durability::kNow);

}  // namespace pixart::formats
