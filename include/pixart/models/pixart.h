// PixArt-alpha: DiT with cross-attention to text and adaLN-single (arXiv 2310.00426, section 2.3).
// PixArt-Sigma: the same with longer captions and compressed keys and values (arXiv 2403.04692). Results must
// match diffusion/model/nets/{PixArt,PixArtMS}.py of both; weight names are those of the released files. One
// class does all: multi_scale computes positions for any grid, micro_conditions adds PixArt-alpha's conditions.
// With control_blocks N > 0 it has a ControlNet-Transformer (PixArt-delta, arXiv 2401.05252, section 4): controlnet.i is a
// trained copy of block i < N with a linear layer after it, and one before the first. Block i + 1 gets the output of copy i
// added to its input; the first copy reads the control image's patches and what block 0 made of the latent, each other copy
// reads the one before it. While the linear layers are zero, the model computes what it does without control.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/models/transformer_shape.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

struct PixArtConfig : TransformerShape, TextSizes {};

inline constexpr int64_t kSigmaTokens = 300;  // of PixArt-Sigma's captions

// Whether the model is of PixArt-Sigma's kind: any grid without micro-conditions, captions of 300 tokens, or
// compressed keys.
bool is_sigma(const TextSizes& sizes);

// "PixArt-XL/2", "PixArt-MS-XL/2", "PixArt-Sigma-XL/2" (both of 1024 pixels).
PixArtConfig pixart_preset(const std::string& name);
std::vector<std::string> pixart_preset_names();

// config.json of diffusers' PixArtTransformer2DModel or of the older Transformer2DModel. Reading throws
// UserError that lists every wrong or unsupported value. Keys that diffusers does not have (max_tokens,
// multi_scale, kv_compression) are written where they differ from what their absence means: 120 tokens, any
// grid with micro-conditions or from a latent of 128 on, all keys.
PixArtConfig read_pixart_config(const std::filesystem::path& config_json);
void write_pixart_config(const std::filesystem::path& config_json, const PixArtConfig& config);
// Of the ControlNet alone: PixArtControlNetAdapterModel of diffusers' research_projects/pixart.
void write_control_config(const std::filesystem::path& config_json, const PixArtConfig& config);

// What a PixArt computes from captions alone, the same at every timestep. Samplers ask a model about the same
// captions again and again.
struct PreparedCaption {
  nn::PackedText text;                      // projected
  std::vector<at::Tensor> keys_and_values;  // of the first blocks (nn::CrossAttention)
};

class PixArt {
 public:
  PixArt(const nn::Scope& scope, const PixArtConfig& config);

  // latent [R, C, H, W], timestep [R] float -> [B, O, H, W] for B captions; R divides B, and caption i meets
  // latent i mod R. What does not depend on captions is computed for the R latents alone: the first block until
  // its cross-attention.
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& text,
                     std::vector<at::Tensor>* block_outputs = nullptr) const;

  // Guidance as in the released iDDPM code: [2B] inputs, conditional first; guides the first three channels.
  // `text.mask` has B rows, which are repeated for the null half, or is undefined.
  at::Tensor forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                   const Condition& text, double scale) const;

  // The condition with what these weights make of its captions, for many calls of forward() without gradients,
  // which return the same bits. Keys and values are kept of as many blocks as `most_bytes` hold.
  Condition prepared(const Condition& text, int64_t most_bytes = int64_t{1} << 30) const;

  at::Tensor null_caption() const;  // [T, caption_channels]: y_embedder.y_embedding
  const PixArtConfig& config() const { return config_; }
  const Execution& execution() const { return execution_; }
  PixArt with(const Execution& execution) const;  // a model with the same weights and this execution

 private:
  PixArtConfig config_;
  Execution execution_;
  std::shared_ptr<struct PixArtLayers> layers_;
};

void initialize(nn::StateDict& state, const PixArtConfig& config, const TransformerInit& init);

// The weights of a ControlNet-Transformer; all others are those of the model that it controls.
inline constexpr const char* kControlPrefix = "controlnet.";
inline bool is_control_name(const std::string& name) { return name.starts_with(kControlPrefix); }
// The weight of the controlled model that control weight `name` begins as: blocks.3.attn.qkv.weight of
// controlnet.3.copied_block.attn.qkv.weight; "" for the linear layers, which begin at zero.
std::string copied_from(const std::string& name);

}  // namespace pixart::models
