// The transformer of a diffusion stage, of any kind. Only this module (one row of the table in
// src/models/transformer.cpp) and `convert` distinguish DiT and PixArt; other modules use these classes.
#pragma once
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"

namespace pixart::models {

// The values that determine the cost of a transformer (plan/flops.h has the formulas).
struct TransformerWork {
  int64_t tokens = 0, width = 0, depth = 0, heads = 0;  // image tokens
  double mlp_ratio = 4;
  int64_t patch_values = 0, output_values = 0;  // values of a patch: p^2 C, p^2 O
  bool cross_attention = false;  // to captions, in every block; false: each block has its own modulation
  int64_t caption_tokens = 0, caption_width = 0;
  bool micro_conditions = false;
  bool qk_norm = false;
  KvCompression kv_compression = {};
  int64_t compressed_tokens = 0;  // keys of a block whose keys are compressed
  int64_t control_blocks = 0;     // copies of the first blocks (ControlNet)
  // Where image tokens skip blocks: `kept` of them pass the blocks from <= i < to.
  int64_t kept = 0, from = 0, to = 0;
  int64_t tokens_in(int64_t block) const { return from <= block && block < to ? kept : tokens; }
  int64_t keys(int64_t block) const {
    return kv_compression.in_layer(block) ? compressed_tokens : tokens_in(block);
  }
  // The work if this share of the image tokens skips blocks from <= i < to.
  TransformerWork skipping(double rate, int64_t first, int64_t last) const;
  int64_t mlp_width() const { return int64_t(double(width) * mlp_ratio); }
};

// The config of a model of any kind.
class TransformerConfig {
 public:
  using Kinds = std::variant<DitConfig, PixArtConfig>;
  TransformerConfig(Kinds kind) : kind_(std::move(kind)) {}  // NOLINT: a DitConfig is a TransformerConfig
  TransformerConfig(const DitConfig& config) : kind_(config) {}
  TransformerConfig(const PixArtConfig& config) : kind_(config) {}

  const TransformerShape& shape() const;
  std::string kind_name() const;      // for people: "DiT", "PixArt", "PixArt-MS", "PixArt-Sigma"
  int64_t num_classes() const;        // 0: the model does not take labels
  int64_t caption_channels() const;   // 0: the model does not take captions
  int64_t max_tokens() const;         // of a caption; 0: the model does not take captions
  bool takes_any_size() const;        // it computes positions for any grid
  bool has_micro_conditions() const;  // its condition has the image's size and aspect ratio
  const KvCompression& kv_compression() const;
  int64_t control_blocks() const;  // 0: the model does not take control images
  TransformerWork work() const;    // with captions of max_tokens

  const Kinds& kind() const { return kind_; }  // for `models` and `convert`

 private:
  Kinds kind_;
};

// The config of the model called `kind` ("DiT", "PixArt"); it uses the sizes that the kind needs. Throws
// UserError that lists the known kinds.
struct ConditionSizes {
  LabelSizes labels = {};
  TextSizes text = {};
};
TransformerConfig transformer_config(const std::string& kind, const TransformerShape& shape,
                                     const ConditionSizes& sizes);

// A published model: "DiT-XL/2", "PixArt-XL/2", "PixArt-MS-XL/2" ... Throws UserError that lists the known
// names.
TransformerConfig published_transformer(const std::string& name);

class Transformer {
 public:
  // Registers its weights in `scope` under the published names.
  Transformer(const nn::Scope& scope, const TransformerConfig& config);

  // latent [R, C, H, W], timestep [R] float (may be fractional) -> [B, O, H, W] for B conditions; R divides B,
  // and condition i meets latent i mod R. A timestep that is one number, expanded, is embedded once.
  // Appends the output of each block, [B, N, D] or [B, K, D] where tokens skip it, to `block_outputs`.
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& condition,
                     std::vector<at::Tensor>* block_outputs = nullptr) const;

  // The same weights and execution, whose image tokens take this way.
  Transformer along(const TokenRoute& route) const;

  // For many calls of forward() without gradients and with these weights: the same bits in less time
  // (PixArt::prepared). joined(), moved(), rows_of() and null_of() forget it.
  Condition prepared(const Condition& condition) const;

  // The same images with the null condition: the null class, or the null caption under each caption's own
  // mask (as in the released code).
  Condition null_of(const Condition& condition) const;

  const TransformerConfig& config() const { return config_; }
  Transformer with(const Execution& execution) const;                // the same weights, this execution
  const std::variant<Dit, PixArt>& model() const { return model_; }  // for `models` and `convert`

 private:
  Transformer(TransformerConfig config, std::variant<Dit, PixArt> model)
      : config_(std::move(config)), model_(std::move(model)) {}
  TransformerConfig config_;
  std::variant<Dit, PixArt> model_;
};

void initialize(nn::StateDict& state, const TransformerConfig& config, const TransformerInit& init);

// Both conditions in one batch [2B], for classifier-free guidance in one call.
Condition joined(const Condition& first, const Condition& second);

// All tensors except the mask on `device`; no copy to a GPU waits (nn::on_device). The mask stays: its
// lengths are read on the CPU (nn::pack_text).
Condition moved(const Condition& condition, at::Device device);

// Rows [first, first + count) of every defined tensor.
Condition rows_of(const Condition& condition, int64_t first, int64_t count);

}  // namespace pixart::models
