// Common parts of DiT and PixArt: sizes, execution, initialisation, and the condition of each image.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pixart/nn/layers.h"

namespace pixart::models {

struct TransformerShape {
  int64_t input_size = 32;  // side of the latent for which the position table is computed
  int64_t patch_size = 2;
  int64_t in_channels = 4;
  int64_t hidden_size = 1152;
  int64_t depth = 28;
  int64_t num_heads = 16;
  double mlp_ratio = 4.0;
  bool learn_sigma = true;  // the output has 2 * in_channels channels
  bool qk_norm = false;     // queries and keys of self-attention are normalised (PixArt-Sigma's option)
  int64_t out_channels() const { return learn_sigma ? 2 * in_channels : in_channels; }
};

// Sizes of a class-conditional model's labels.
struct LabelSizes {
  int64_t num_classes = 1000;
  bool has_null_class =
      true;  // the label table has one more row at its end; a model without it cannot be guided
  int64_t label_rows() const { return num_classes + (has_null_class ? 1 : 0); }
};

// Sizes of a text-conditional model's captions, and its micro-conditions.
struct TextSizes {
  int64_t caption_channels = 4096;
  int64_t max_tokens = 120;     // rows of the null caption, y_embedder.y_embedding
  double position_scale = 1.0;  // "lewei_scale": positions are divided by it
  bool multi_scale = false;     // PixArtMS: any grid, size and aspect-ratio conditions
};

// The conditions of each image. A model reads the tensors that it uses and ignores the others, which may be
// undefined.
struct Condition {
  at::Tensor label = {};       // [B] int64; num_classes is the null class
  at::Tensor caption = {};     // [B, T, caption_channels]
  at::Tensor mask = {};        // [B, T], 1 = keep; undefined: all tokens
  nn::TextLayout layout = {};  // of the mask, where it was made beforehand; otherwise the model makes it
  at::Tensor drop =
      {};  // [B], 1 = the null class, or the null caption's features under the caption's own mask
  at::Tensor image_size = {};    // multi_scale: [B, 2] height, width in pixels
  at::Tensor aspect_ratio = {};  // multi_scale: [B, 1]
};

// How a transformer is computed; this is not part of the model. Attention, MLPs and embedders use `dtype`.
// The residual stream, norms, modulation and the tables of PixArt stay in float32, as under autocast in the
// released code.
struct Execution {
  std::optional<at::ScalarType> dtype = {};  // unset: the type of the weights
  // Every n-th block keeps only its inputs and is computed again in backward; 0: no block, 1: all blocks.
  // Losses and gradients are the same to the bit.
  int64_t recompute_every = 0;
  bool recomputes(size_t block) const {
    return recompute_every > 0 && (int64_t(block) + 1) % recompute_every == 0;
  }
};

// The published initialisation: xavier-uniform linears, N(0, .02) for the timestep MLP and the label table,
// zeros for adaLN and output. Narrow models need a larger embedder_std than the published one.
struct TransformerInit {
  uint64_t seed = 0;
  // For the timestep MLP and (PixArt) caption projection. Unset: 0.02 as published; 0: 1/sqrt(fan_in).
  std::optional<double> embedder_std;
};

// Published sizes: "S/2" ... "XL/8" (DiT, table 1; PixArt-alpha is XL/2). Throws UserError that lists the
// known names.
TransformerShape transformer_preset(const std::string& name);
std::vector<std::string> transformer_preset_names();

// Position table [1, rows*cols, D] for a token grid. The first half of D encodes the column, the second the
// row (computed in float64, returned as float32). Coordinates i / (rows / base) / scale.
at::Tensor sincos_positions(int64_t hidden_size, int64_t rows, int64_t cols, int64_t base, double scale);

}  // namespace pixart::models
