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
  std::map<std::string, LoraLayer> layers = {};  // by the layer's name in the file, without prefixes
  std::vector<std::filesystem::path> files = {};
  std::string license = {};
  std::vector<std::string> notes = {};  // for people
};

// Reads only adapters: those of this program, diffusers (pytorch_lora_weights.safetensors) or PEFT
// (adapter_model.safetensors), from a file or its folder. alpha is in the file or in adapter_config.json next
// to it; otherwise it is the rank. Throws one UserError that lists incomplete adapters and other tensors.
LoraAdapters read_lora(const std::filesystem::path& path);

// The weights plus `strength` times the adapters, computed in float32 and rounded to the type of each tensor
// when read. Layers have official names or diffusers' (whose to_q, to_k, to_v are rows of one official
// weight). Throws one UserError about `subject` that lists every adapter without a layer in the model. The
// plan has one line per tensor.
struct MergedLora {
  OfficialWeights weights;
  std::vector<PlannedTensor> plan;
};
MergedLora merge_lora(OfficialWeights base, const LoraAdapters& adapters, double strength,
                      const std::string& subject);

// Writes the adapters of `weights` (official names, a checkpoint of a lora stage) to a folder that diffusers
// and PEFT can read: pytorch_lora_weights.safetensors (load_lora_adapter), adapter_model.safetensors with
// adapter_config.json (PeftModel.from_pretrained). A joined projection is split into its parts, which share
// A. Replaces the folder; throws UserError if the folder has files that do not belong to a model.
void write_lora(const std::filesystem::path& folder, const formats::Weights& weights,
                const Architecture& architecture);

// The metadata of a checkpoint with adapters that describe them.
formats::Metadata lora_metadata(int64_t rank, double alpha);

}  // namespace pixart::convert
