// LoRA adapters in files: low-rank changes of linear layers, W + (alpha / rank) B A.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pixart/convert/convert.h"

namespace pixart::convert {

struct LoraLayer {
  at::Tensor a, b;   // [rank, in], [out, rank], float32
  double scale = 1;  // alpha / rank
};

struct LoraAdapters {
  std::map<std::string, LoraLayer> layers = {};  // by layer, as the file calls it, without prefixes
  std::vector<std::filesystem::path> files = {};
  std::string license = {};
  std::vector<std::string> notes = {};  // for people
};

// Adapters alone: ours, diffusers' (pytorch_lora_weights.safetensors) or PEFT's (adapter_model.safetensors),
// a file or the folder of one. alpha is what the file, or adapter_config.json beside it, says; else the rank.
// Throws one UserError with every tensor that is no part of an adapter, and every adapter that is not whole.
LoraAdapters read_lora(const std::filesystem::path& path);

// The weights with the adapters added `strength` times, computed in float32 and rounded to the type of each
// tensor when read. Names of layers are official, or diffusers', whose to_q, to_k, to_v are rows of ours.
// Every adapter must find its place: all that do not are one UserError about `subject`. The plan has a line
// per tensor.
struct MergedLora {
  OfficialWeights weights;
  std::vector<PlannedTensor> plan;
};
MergedLora merge_lora(OfficialWeights base, const LoraAdapters& adapters, double strength,
                      const std::string& subject);

// The adapters of `weights` (official names, a checkpoint of a lora stage) in a folder that diffusers and
// PEFT read: pytorch_lora_weights.safetensors (load_lora_adapter), adapter_model.safetensors with
// adapter_config.json (PeftModel.from_pretrained). A joined projection becomes its parts, which share A.
// Replaces the folder, unless it holds what is not of a model (UserError).
void write_lora(const std::filesystem::path& folder, const formats::Weights& weights,
                const Architecture& architecture);

// What a checkpoint with adapters says of them in its metadata.
formats::Metadata lora_metadata(int64_t rank, double alpha);

}  // namespace pixart::convert
