// PixArt-alpha: DiT with cross-attention to text and adaLN-single (arXiv 2310.00426, section 2.3).
// Numbers must match PixArt-alpha diffusion/model/nets/{PixArt,PixArtMS}.py; weight names are those of the
// released files. One class serves both: multi_scale adds the micro-conditions and recomputed positions.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/models/dit.h"

namespace pixart::models {

struct PixArtConfig {
  int64_t input_size = 32;  // latent side of the base grid
  int64_t patch_size = 2;
  int64_t in_channels = 4;
  int64_t hidden_size = 1152;
  int64_t depth = 28;
  int64_t num_heads = 16;
  double mlp_ratio = 4.0;
  bool learn_sigma = true;
  int64_t caption_channels = 4096;
  int64_t max_tokens = 120;     // rows of the null caption, y_embedder.y_embedding
  double position_scale = 1.0;  // "lewei_scale": positions are divided by it
  bool multi_scale = false;     // PixArtMS: any grid, size and aspect-ratio conditions
  int64_t out_channels() const { return learn_sigma ? 2 * in_channels : in_channels; }
};

// "PixArt-XL/2", "PixArt-MS-XL/2".
PixArtConfig pixart_preset(const std::string& name);
std::vector<std::string> pixart_preset_names();

// config.json of diffusers' PixArtTransformer2DModel, or of its older form Transformer2DModel. Reading throws
// UserError with everything that is wrong or not supported; max_tokens stays 120, which the file does not
// say.
PixArtConfig read_pixart_config(const std::filesystem::path& config_json);
void write_pixart_config(const std::filesystem::path& config_json, const PixArtConfig& config);

struct TextCondition {
  at::Tensor caption;       // [B, T, caption_channels]
  at::Tensor mask;          // [B, T], 1 = keep; undefined: all tokens
  at::Tensor drop;          // [B], 1 = the null caption's features, own mask kept; may be undefined
  at::Tensor image_size;    // multi_scale: [B, 2] height, width in pixels
  at::Tensor aspect_ratio;  // multi_scale: [B, 1]
};

class PixArt {
 public:
  PixArt(const nn::Scope& scope, const PixArtConfig& config);

  // latent [B, C, H, W], timestep [B] float -> [B, O, H, W].
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const TextCondition& text,
                     std::vector<at::Tensor>* block_outputs = nullptr) const;

  // The released iDDPM guidance: [2B] inputs, conditional first; first three channels guided.
  // `text.mask` has B rows and is repeated for the null half, or is undefined.
  at::Tensor forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                   const TextCondition& text, double scale) const;

  at::Tensor null_caption() const;  // [T, caption_channels]: y_embedder.y_embedding
  const PixArtConfig& config() const { return config_; }
  PixArt with(const Execution& execution) const;  // the same weights, run in another way

 private:
  PixArtConfig config_;
  Execution execution_;
  std::shared_ptr<struct PixArtLayers> layers_;
};

void initialize(nn::StateDict& state, const PixArtConfig& config, const TransformerInit& init);

// Position table [1, rows*cols, D] for a token grid: the first half of D encodes the column, the second the
// row (float64 arithmetic, returned as float32). Coordinates i / (rows / base) / scale.
at::Tensor sincos_positions(int64_t hidden_size, int64_t rows, int64_t cols, int64_t base, double scale);

}  // namespace pixart::models
