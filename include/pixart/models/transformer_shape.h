// Common parts of DiT and PixArt: sizes, execution, initialisation, and the condition of each image.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
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

// How keys and values become fewer (names of PixArt-Sigma's code): conv, a depth-wise convolution R x R with
// stride R and a norm; uniform, the first token of each R x R square; average, the same token (the code's
// "ave" takes the nearest token, not a mean); every, each R-th token of the sequence ("uniform_every").
enum class KvSampling { kNone, kConv, kUniform, kAverage, kEvery };
inline EnumWords<KvSampling> enum_words(KvSampling) {
  return {{"none", KvSampling::kNone},
          {"conv", KvSampling::kConv},
          {"uniform", KvSampling::kUniform},
          {"average", KvSampling::kAverage},
          {"every", KvSampling::kEvery}};
}

// The self-attention of some blocks has fewer keys and values than queries (PixArt-Sigma, arXiv 2403.04692).
struct KvCompression {
  KvSampling sampling = KvSampling::kNone;
  int64_t factor = 2;  // R
  std::vector<int64_t> layers = {};
  static constexpr double kLargestFactor = 32;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("sampling", s.sampling,
      "How keys and values of self-attention become fewer. conv: a depth-wise convolution that begins as a mean "
      "(the published way); uniform, average: one token of each square; every: each factor-th token.",
      any());
    v("factor", s.factor,
      "Side of the square of tokens that becomes one key and one value (with every: number of tokens).",
      in_range(1, kLargestFactor));
    v("layers", s.layers,
      "Blocks whose keys and values are compressed, counted from 0 (published: 14 to 27).",
      in_range(0, kMostLayers));
  }

  friend bool operator==(const KvCompression&, const KvCompression&) = default;
  bool is_on() const { return sampling != KvSampling::kNone && factor > 1 && !layers.empty(); }
  bool in_layer(int64_t block) const;
  bool has_weights() const { return is_on() && sampling == KvSampling::kConv; }
  // Number of keys on a grid of rows x cols tokens. As in the released code, conv and average leave out the
  // last rows and columns that fill no square.
  int64_t keys(int64_t rows, int64_t cols) const;

  // Contradictions of the three values in a model of `depth` blocks: clauses without a full stop.
  std::vector<std::string> problems(int64_t depth) const;
  // Why a grid of rows x cols tokens cannot be compressed, or "". The released code refuses the same grids.
  std::string grid_problem(int64_t rows, int64_t cols) const;
};

// As files have it: {"sampling": "conv", "factor": 2, "layers": [14, 15]}. parse throws UserError that begins
// with `subject` and names each problem.
std::string kv_compression_text(const KvCompression& kv);
KvCompression parse_kv_compression(const std::string& text, const std::string& subject);

// Sizes of a text-conditional model's captions, its micro-conditions and its keys.
struct TextSizes {
  int64_t caption_channels = 4096;
  int64_t max_tokens = 120;       // rows of the null caption, y_embedder.y_embedding (PixArt-Sigma: 300)
  double position_scale = 1.0;    // "lewei_scale", "pe_interpolation": positions are divided by it
  bool multi_scale = false;       // PixArtMS: any grid, whose positions are computed
  bool micro_conditions = false;  // size and aspect-ratio conditions (PixArt-alpha's PixArtMS)
  KvCompression kv_compression = {};
  int64_t control_blocks = 0;  // copies of the first blocks, which read a control image (control.h); 0: none
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
  at::Tensor image_size = {};    // micro_conditions: [B, 2] height, width in pixels
  at::Tensor aspect_ratio = {};  // micro_conditions: [B, 1]
  at::Tensor control = {};       // control_blocks: [B, C, H, W], latent of the control image; undefined: none
  double control_strength = 1;   // factor of what the control adds
  // What a model made of caption, mask and drop, which it then does not read (Transformer::prepared).
  std::shared_ptr<const struct PreparedCaption> prepared = {};
};

// The way of the image tokens through the blocks, in training: blocks from <= i < to see only the tokens that are
// kept. The others skip these blocks and join again as they left (TREAD, arXiv 2501.04765).
struct TokenRoute {
  at::Tensor kept = {};  // [B, K] int64, rising in each row; undefined: all tokens pass all blocks
  int64_t from = 0, to = 0;
  // The number of tokens that are kept if this share of them skips blocks: at least one.
  static int64_t num_kept(int64_t tokens, double rate);
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
  TokenRoute route = {};
};

// The width and heads of the model whose settings a wider one shares (mup.h).
struct WidthBase {
  int64_t width = 0, heads = 0;
};

// The published initialisation: xavier-uniform linears, N(0, .02) for the timestep MLP and the label table,
// zeros for adaLN and output. Narrow models need a larger embedder_std than the published one.
struct TransformerInit {
  uint64_t seed = 0;
  // For the timestep MLP and (PixArt) caption projection. Unset: 0.02 as published; 0: 1/sqrt(fan_in).
  std::optional<double> embedder_std = {};
  // Set: muP. Each deviation is that of the base's model, times 1 / sqrt(fan_in / fan_in of the base) for matrices.
  std::optional<WidthBase> base = {};
};

// Published sizes: "S/2" ... "XL/8" (DiT, table 1; PixArt-alpha is XL/2). Throws UserError that lists the
// known names.
TransformerShape transformer_preset(const std::string& name);
std::vector<std::string> transformer_preset_names();

// Position table [1, rows*cols, D] for a token grid. The first half of D encodes the column, the second the
// row (computed in float64, returned as float32). Coordinates i / (rows / base) / scale.
at::Tensor sincos_positions(int64_t hidden_size, int64_t rows, int64_t cols, int64_t base, double scale);

}  // namespace pixart::models
