// LoRA adapters in files: low-rank changes of linear layers, W + (alpha / rank) B A.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/convert/convert.h"

namespace pixart::convert {

struct LoraLayer {
  at::Tensor a, b;                   // [rank, in], [out, rank], float32
  double scale = 1;                  // alpha / rank
  std::vector<int64_t> kernel = {};  // of one row of A: {in}, or {in, height, width} of a convolution
};

// What the training did to the base weights before it began, PEFT's init_lora_weights. The first two replaced
// a part of W, which is computed again from W when the adapters are merged.
enum class LoraStart {
  kPissa,  // the principal part of W: its `rank` largest singular values (arXiv 2404.02948)
  kOlora,  // scale Q R of the first `rank` columns of the QR decomposition of W (arXiv 2406.01775)
  kZero,   // nothing
};

struct LoraAdapters {
  std::map<std::string, LoraLayer> layers = {};  // by the layer's name in the file, without prefixes
  std::vector<std::filesystem::path> files = {};
  std::string license = {};
  LoraStart start = LoraStart::kZero;
  // What the model predicts that they were trained in; unset where the file does not say it.
  std::optional<diffusion::Process> process = {};
  std::vector<std::string> notes = {};  // for people
};

// Reads only adapters: those of this program, diffusers (pytorch_lora_weights.*), PEFT (adapter_model.*),
// PixArt's own script, kohya's scripts, OneTrainer or ComfyUI, from a file, its folder, or the folder above.
// alpha is in the file or in adapter_config.json; otherwise it is the rank. Throws one UserError that lists
// incomplete adapters, other tensors, and kinds of adapters that are more than W + scale B A.
LoraAdapters read_lora(const std::filesystem::path& path);

// The weights plus `strength` times the change by the adapters (scale B A, minus what the training replaced),
// computed in float32 and rounded to the type of each tensor when read. Layers have official names or
// diffusers' (whose to_q, to_k, to_v are rows of one official weight), perhaps with '_' in place of '.'.
// Throws one UserError about `subject` that lists every adapter without a layer in the model. The plan has
// one line per tensor. The result predicts what the adapters were trained for, where their file says it.
struct MergedLora {
  OfficialWeights weights;
  std::vector<PlannedTensor> plan;
};
MergedLora merge_lora(OfficialWeights base, const LoraAdapters& adapters, double strength,
                      const std::string& subject);

// Throws UserError about `subject` if both files say what the model predicts, and differently: such adapters
// are for other weights, unless their training began by changing what the model predicts.
void require_same_prediction(const OfficialWeights& base, const LoraAdapters& adapters,
                             const std::string& subject);

// Writes the adapters of `weights` (official names, a checkpoint of a lora stage) to a folder that diffusers
// and PEFT can read: pytorch_lora_weights.safetensors (load_lora_adapter), adapter_model.safetensors with
// adapter_config.json (PeftModel.from_pretrained). A joined projection is split into its parts, which share
// A. `card` is for its model card. Replaces the folder; throws UserError if the folder has files that do not belong to a model.
void write_lora(const std::filesystem::path& folder, const formats::Weights& weights,
                const Architecture& architecture, const CardFacts& card = {});

// The metadata of a checkpoint with adapters that describe them.
formats::Metadata lora_metadata(int64_t rank, double alpha);

}  // namespace pixart::convert
