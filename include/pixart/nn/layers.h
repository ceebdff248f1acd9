// Layers of the transformers: plain structs of tensors that register their tensors under the published names.
// B batch, N tokens, D width, h heads.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "pixart/nn/state_dict.h"

namespace pixart::nn {

struct Branch;

// Computes in the type of x. If that type is narrower than float32, float32 weights are rounded to it; their
// gradients are float32.
struct Linear {
  at::Tensor weight, bias;     // [out, in], [out] or undefined
  std::shared_ptr<Lora> lora;  // the adapter that add_lora() sets; its product is added to the output
  Linear() = default;
  Linear(const Scope& scope, int64_t in, int64_t out, bool with_bias = true);
  at::Tensor operator()(const at::Tensor& x) const;
  at::Tensor product(const at::Tensor& x) const;  // without the bias
  // The output, cut in its last dimension.
  std::vector<at::Tensor> parts(const at::Tensor& x, int64_t count) const;
  Branch branch(const at::Tensor& x) const;  // the output, for the operations that take a Branch
  // The same at the end of a block that may be recomputed: where kernels of ours leave its addition to the next block, only the first
  // pass computes the values.
  Branch last_branch(const at::Tensor& x) const;

 private:
  bool adds_bias_later(const at::Tensor& x) const;
  at::Tensor with_adapter(const at::Tensor& x, const at::Tensor& y) const;
};

// x, converted to float32 if its type is narrower: norms and modulation are computed at least in float32.
at::Tensor at_least_float(const at::Tensor& x);

// LayerNorm(x) * (1 + scale) + shift in the type of x. The norm is over the last dimension, without affine
// parameters, eps 1e-6. x [B, N, D], shift and scale [B, 1, D].
at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale);

// What is added to a residual: rows [B, N, D]; with a bias [D], rows + bias. Kernels of a GPU add the bias, and sum its
// gradient, in their pass over the rows.
struct Branch {
  at::Tensor rows, bias;
  Branch(at::Tensor all) : rows(std::move(all)) {}  // NOLINT: a tensor is a branch without a bias of its own
  Branch(at::Tensor product, at::Tensor of_product) : rows(std::move(product)), bias(std::move(of_product)) {}
  at::Tensor whole() const;
};

// x + gate * branch in the type of x; x and branch [B, N, D], gate [B, 1, D].
at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& gate, const Branch& branch);

// What is between the matrix products of two sub-blocks, as one operation each, which passes over memory once
// where kernels of ours do it. The residual keeps its type; the input of the next sub-block gets `type`, that of
// its products.
struct Residual {
  at::Tensor x;        // [B, N, D], for all that follows
  at::Tensor input;    // [B, N, D]
  at::Tensor in_type;  // without values: takes gradients of x in `type`; undefined where no kernel adds them
};
struct Modulation {
  at::Tensor shift, scale;  // [B, 1, D]
};
// x + gate * branch, which is left to the norm that comes next, or the sum itself, without a branch.
struct Stream {
  at::Tensor x, gate;  // [B, N, D], [B, 1, D]
  Branch branch;
  Stream(at::Tensor sum) : x(std::move(sum)), branch(at::Tensor()) {}  // NOLINT: a sum is a stream
  Stream(at::Tensor of, at::Tensor by, Branch left)
      : x(std::move(of)), gate(std::move(by)), branch(std::move(left)) {}
  at::Tensor sum() const;
};
// gated_residual(), left to the next norm if a kernel of ours adds it there.
Stream add_later(const at::Tensor& x, const at::Tensor& gate, const Branch& branch);
// x as it is, and its modulated norm.
Residual normed(const at::Tensor& x, const Modulation& modulation, at::ScalarType type);
Residual normed(const Stream& stream, const Modulation& modulation, at::ScalarType type);
// add_later(), and the sum in `type`; `residual` is what normed() gave.
struct RoundedStream {
  Stream stream;
  at::Tensor input;  // [B, N, D]
};
RoundedStream add_rounded(const Residual& residual, const at::Tensor& gate, const Branch& branch,
                          at::ScalarType type);
// The stream + gate * branch, or + branch if the gate is undefined, and the modulated norm of it.
Residual add_normed(const Stream& stream, const at::Tensor& gate, const Branch& branch,
                    const Modulation& modulation, at::ScalarType type);

// fc1, GELU (tanh form), fc2.
struct Mlp {
  Linear fc1, fc2;
  Mlp() = default;
  Mlp(const Scope& scope, int64_t in, int64_t hidden, int64_t out);
  at::Tensor operator()(const at::Tensor& x) const;
  Branch last_branch(const at::Tensor& x) const;  // Linear::last_branch()

 private:
  at::Tensor activated(const at::Tensor& x) const;
};

// LayerNorm(x) * weight + bias in the type of x, computed at least in float32. The norm is over the last
// dimension, eps 1e-5.
struct AffineNorm {
  at::Tensor weight, bias;  // [D]
  AffineNorm() = default;
  AffineNorm(const Scope& scope, int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;
};

// Makes M <= N tokens of N: [B, N, D] -> [B, M, D].
using FewerTokens = std::function<at::Tensor(const at::Tensor&)>;

// Self-attention: the rows of qkv are q, k, v, each head-major; softmax scale 1/sqrt(D/h). x [B, N, D]. With
// QK-norm, q and k of all heads together are normalised before their product (PixArt-Sigma's qk_norm). With
// `fewer`, keys (after their norm) and values pass it; queries do not.
struct SelfAttention {
  Linear qkv, proj;
  int64_t num_heads = 1;
  AffineNorm q_norm, k_norm;  // undefined without QK-norm
  SelfAttention() = default;
  SelfAttention(const Scope& scope, int64_t width, int64_t num_heads, bool qk_norm = false);
  at::Tensor operator()(const at::Tensor& x, const FewerTokens& fewer = {}) const;
  Branch branch(const at::Tensor& x, const FewerTokens& fewer = {}) const;

 private:
  at::Tensor attended(const at::Tensor& x, const FewerTokens& fewer) const;
};

// The number of positions to which captions of at most `longest` tokens are padded on a GPU, of texts of
// `most` tokens: one of at most six, and a multiple of eight below `most`. LibTorch's caches of kernels and
// of memory are by shape, and the longest caption differs from micro-batch to micro-batch.
int64_t padded_length(int64_t longest, int64_t most);

// The number of rows to which the `total` tokens of `batch` captions are padded on a GPU, of texts of `most`
// tokens: one of at most seven for a batch size, which with self-attention makes eight shapes. A multiple of
// eight.
int64_t padded_total(int64_t total, int64_t batch, int64_t most);

// Where the tokens of a batch's captions are. On the CPU, unless the mask is on a GPU. In float32 on the CPU
// only `starts` is used: attention reads the packed tokens, and nothing is padded. A GPU uses slot and mask,
// or bounds.
struct TextLayout {
  at::Tensor source;  // [S] int64: the row of the padded [B*T] from which a token came; S is the sum of the
                      // lengths, on a GPU padded_total() of it: what follows is row 0, which no text reads.
                      // Undefined without a layout
  at::Tensor starts;  // [B + 1] int64, always on the CPU: where each text begins among the S tokens, and S
  int64_t batch = 0, longest = 0;
  at::Tensor slot;   // [B * longest] int64: the token at each padded position; padding points to token 0.
                     // Undefined if nothing is padded
  at::Tensor mask;   // [B, 1, 1, longest] bool, true = attend. Undefined if nothing is padded
  int64_t most = 0;  // T, the tokens that a text may have
  // For the variable-length attention of a GPU (else undefined), which needs neither slot nor mask. The rows
  // after the last text are texts of padding, P of them whatever the lengths are, of at most T tokens: no
  // query reads them, so their gradient is 0.
  at::Tensor
      bounds;  // [2, B + P + 1] int32: where each text begins, and S; the number of each text, B for padding
  at::Tensor
      queries;  // [B + P + 1] int32: where the queries of each text begin, and their number; set_queries()
};

// The layout of `batch` captions on `device`; mask [B, T] (1 = keep), or the mask of a part of the batch,
// which is repeated. Every row needs a token. `longest` is the longest caption; on a GPU it is
// padded_length(). (Not on the CPU, where padding costs time and may change the last bits of a sum.) With a
// mask on a GPU the host waits until the lengths are known.
TextLayout text_layout(const at::Tensor& mask, int64_t batch, c10::Device device);

// Captions of a batch without padding: the tokens of all samples, one sample after the other.
struct PackedText : TextLayout {
  at::Tensor tokens;  // [S, C]
};

// text [B, T, C]; the result is on its device. head_size: of the attention that reads the text in this type,
// which decides whether a GPU reads it packed, by `bounds`, or padded, by slot and mask. 0: padded.
PackedText pack_text_by(const TextLayout& layout, const at::Tensor& text, int64_t head_size = 0);
// The same, with the layout of `mask`; undefined: all tokens.
PackedText pack_text(const at::Tensor& text, const at::Tensor& mask, int64_t head_size = 0);

// Each text meets `count` queries: needed before attention, if `bounds` are defined.
void set_queries(TextLayout& layout, int64_t count);

// Cross-attention: queries from image tokens x [B, N, D], keys and values from the packed text [S, D]; each
// sample attends only to its own tokens. Only packed tokens are projected. In float32 on the CPU, and in half
// precision on a GPU, they are also attended to where they are.
//
// A text that meets several x gives the same keys and values each time: compute them once, and call attend().
struct CrossAttention {
  Linear q_linear, kv_linear, proj;
  int64_t num_heads = 1;
  CrossAttention() = default;
  CrossAttention(const Scope& scope, int64_t width, int64_t num_heads);
  at::Tensor operator()(const at::Tensor& x, const PackedText& text) const;
  // [S, 2D] where packed texts are read (above), otherwise [B, longest, 2D].
  at::Tensor keys_and_values(const PackedText& text) const;
  at::Tensor attend(const at::Tensor& x, const at::Tensor& keys_and_values, const TextLayout& text) const;
  // Undefined keys and values are computed.
  Branch branch(const at::Tensor& x, const at::Tensor& keys_and_values, const PackedText& text) const;

 private:
  at::Tensor attended(const at::Tensor& x, const at::Tensor& keys_and_values, const TextLayout& text) const;
};

// Scalars -> [B, width]: 256 features [cos, sin] of t * exp(-ln(10000) k / 128), computed in float32, then
// Linear, SiLU, Linear in `dtype`.
struct TimestepEmbedder {
  Linear mlp0, mlp2;
  TimestepEmbedder() = default;
  TimestepEmbedder(const Scope& scope, int64_t width);
  at::Tensor operator()(const at::Tensor& t, at::ScalarType dtype) const;  // t [B], any type
};

// Convolution p x p with stride p as one matrix product: [B, C, H, W] -> [B, N, D], row-major tokens.
struct PatchEmbed {
  at::Tensor weight, bias;  // [D, C, p, p], [D]
  PatchEmbed() = default;
  PatchEmbed(const Scope& scope, int64_t channels, int64_t patch_size, int64_t width);
  at::Tensor operator()(const at::Tensor& latent) const;
};

// [B, rows*cols, p*p*O], channel fastest, -> [B, O, rows*p, cols*p].
at::Tensor unpatchify(const at::Tensor& tokens, int64_t rows, int64_t cols, int64_t patch_size);

}  // namespace pixart::nn
