#include "pixart/models/blip.h"

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/nn/layers.h"

namespace pixart::models {

namespace {

constexpr int64_t kBlipColours = 3;

struct Norm {
  at::Tensor weight, bias;
  double eps;

  Norm(const nn::Scope& scope, int64_t width, double norm_eps)
      : weight(scope.parameter("weight", {width})), bias(scope.parameter("bias", {width})), eps(norm_eps) {}
  at::Tensor operator()(const at::Tensor& x) const {
    return at::layer_norm(x, {weight.size(0)}, weight, bias, eps);
  }
};

// What queries may see.
struct Visible {
  at::Tensor mask = {};    // [B, 1, 1, T] bool, true = seen; undefined: all
  bool is_causal = false;  // each only itself and what is in front of it; then without a mask
};

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t num_heads,
                  const Visible& visible) {
  const auto heads = [&](const at::Tensor& t) { return t.unflatten(-1, {num_heads, -1}).transpose(1, 2); };
  const std::optional<at::Tensor> mask =
      visible.mask.defined() ? std::optional<at::Tensor>(visible.mask) : std::nullopt;
  const at::Tensor y = at::scaled_dot_product_attention(heads(q), heads(k), heads(v), mask, /*dropout_p=*/0.0,
                                                        visible.is_causal);
  return y.transpose(1, 2).flatten(2);
}

struct VisionBlock {
  Norm attention_norm, mlp_norm;
  nn::Linear qkv, projection, fc1, fc2;
  int64_t num_heads;

  VisionBlock(const nn::Scope& scope, const BlipVision& c)
      : attention_norm(scope / "layer_norm1", c.width, c.eps),
        mlp_norm(scope / "layer_norm2", c.width, c.eps),
        qkv(scope / "self_attn" / "qkv", c.width, 3 * c.width),
        projection(scope / "self_attn" / "projection", c.width, c.width),
        fc1(scope / "mlp" / "fc1", c.width, c.mlp),
        fc2(scope / "mlp" / "fc2", c.mlp, c.width),
        num_heads(c.heads) {}

  at::Tensor operator()(const at::Tensor& x) const {
    const auto parts = qkv(attention_norm(x)).chunk(3, -1);
    const at::Tensor after = x + projection(attend(parts[0], parts[1], parts[2], num_heads, {}));
    return after + fc2(at::gelu(fc1(mlp_norm(after))));
  }
};

struct BlipVisionLayers {
  at::Tensor class_embedding, position, patch_weight, patch_bias;
  std::vector<VisionBlock> blocks;
  Norm last_norm;

  BlipVisionLayers(const nn::Scope& scope, const BlipVision& c)
      : class_embedding((scope / "embeddings").parameter("class_embedding", {1, 1, c.width})),
        position((scope / "embeddings").parameter("position_embedding", {1, num_patches(c) + 1, c.width})),
        patch_weight((scope / "embeddings" / "patch_embedding")
                         .parameter("weight", {c.width, kBlipColours, c.patch_size, c.patch_size})),
        patch_bias((scope / "embeddings" / "patch_embedding").parameter("bias", {c.width})),
        last_norm(scope / "post_layernorm", c.width, c.eps) {
    for (int64_t i = 0; i < c.layers; ++i) blocks.emplace_back(scope / "encoder" / "layers" / i, c);
  }

  static int64_t num_patches(const BlipVision& c) {
    const int64_t side = c.image_size / c.patch_size;
    return side * side;
  }
  at::Tensor operator()(const at::Tensor& images) const {
    const int64_t patch = patch_weight.size(2);
    const at::Tensor patches =
        at::conv2d(images, patch_weight, patch_bias, {patch, patch}).flatten(2).transpose(1, 2);
    at::Tensor x = at::cat({class_embedding.expand({images.size(0), 1, -1}), patches}, 1) + position;
    for (const auto& block : blocks) x = block(x);
    return last_norm(x);
  }
};

// BERT's attention with its own residual and norm.
struct TextAttention {
  nn::Linear query, key, value, dense;
  Norm norm;
  int64_t num_heads;

  TextAttention(const nn::Scope& scope, const BlipText& c, int64_t seen_width)
      : query(scope / "self" / "query", c.width, c.width),
        key(scope / "self" / "key", seen_width, c.width),
        value(scope / "self" / "value", seen_width, c.width),
        dense(scope / "output" / "dense", c.width, c.width),
        norm(scope / "output" / "LayerNorm", c.width, c.eps),
        num_heads(c.heads) {}

  at::Tensor operator()(const at::Tensor& x, const at::Tensor& seen, const Visible& visible) const {
    return norm(x + dense(attend(query(x), key(seen), value(seen), num_heads, visible)));
  }
};

struct TextBlock {
  TextAttention attention, crossattention;
  nn::Linear fc1, fc2;
  Norm norm;

  TextBlock(const nn::Scope& scope, const BlipText& c, int64_t other_width)
      : attention(scope / "attention", c, c.width),
        crossattention(scope / "crossattention", c, other_width),
        fc1(scope / "intermediate" / "dense", c.width, c.mlp),
        fc2(scope / "output" / "dense", c.mlp, c.width),
        norm(scope / "output" / "LayerNorm", c.width, c.eps) {}

  at::Tensor operator()(const at::Tensor& x, const Visible& own, const at::Tensor& others,
                        const Visible& of_others) const {
    const at::Tensor y = crossattention(attention(x, x, own), others, of_others);
    return norm(y + fc2(at::gelu(fc1(y))));
  }
};

struct BlipTextLayers {
  at::Tensor words, position;
  Norm first_norm;
  std::vector<TextBlock> blocks;

  BlipTextLayers(const nn::Scope& scope, const BlipText& c, int64_t other_width)
      : words((scope / "embeddings" / "word_embeddings").parameter("weight", {c.vocab_size, c.width})),
        position((scope / "embeddings" / "position_embeddings").parameter("weight", {c.max_tokens, c.width})),
        first_norm(scope / "embeddings" / "LayerNorm", c.width, c.eps) {
    for (int64_t i = 0; i < c.layers; ++i)
      blocks.emplace_back(scope / "encoder" / "layer" / i, c, other_width);
  }

  at::Tensor operator()(const at::Tensor& ids, const Visible& own, const at::Tensor& others,
                        const Visible& of_others) const {
    at::Tensor x = first_norm(at::embedding(words, ids) + position.slice(0, 0, ids.size(1)));
    for (const auto& block : blocks) x = block(x, own, others, of_others);
    return x;
  }
};

struct DecoderLayers {
  BlipTextLayers bert;
  nn::Linear transform;
  Norm transform_norm;
  at::Tensor weight, bias;

  DecoderLayers(const nn::Scope& scope, const BlipText& c)
      : bert(scope / "bert", c, c.width),
        transform(scope / "cls" / "predictions" / "transform" / "dense", c.width, c.width),
        transform_norm(scope / "cls" / "predictions" / "transform" / "LayerNorm", c.width, c.eps),
        weight((scope / "cls" / "predictions" / "decoder").parameter("weight", {c.vocab_size, c.width})),
        bias((scope / "cls" / "predictions").parameter("bias", {c.vocab_size})) {}

  at::Tensor operator()(const at::Tensor& answers, const at::Tensor& texts, const Visible& visible) const {
    const at::Tensor x = bert(answers, {.is_causal = true}, texts, visible);
    return at::linear(transform_norm(at::gelu(transform(x))), weight, bias);
  }
};

Visible visible_by(const at::Tensor& mask) {
  return {.mask = mask.to(at::kBool).unsqueeze(1).unsqueeze(1), .is_causal = false};
}

}  // namespace

struct BlipLayers {
  BlipVisionLayers vision;
  BlipTextLayers text;
  std::optional<DecoderLayers> decoder;

  BlipLayers(const nn::Scope& scope, const BlipConfig& c, BlipParts parts)
      : vision(scope / "vision_model", c.vision), text(scope / "text_encoder", c.text, c.vision.width) {
    if (parts == BlipParts::kWithDecoder) decoder.emplace(scope / "text_decoder", c.text);
  }
};

BlipModel::BlipModel(const nn::Scope& scope, const BlipConfig& config, BlipParts parts)
    : config_(config), layers_(std::make_shared<BlipLayers>(scope, config, parts)) {}

at::Tensor BlipModel::image_states(const at::Tensor& images) const {
  const int64_t side = config_.vision.image_size;
  PIXART_CHECK(
      images.dim() == 4 && images.size(1) == kBlipColours && images.size(2) == side && images.size(3) == side,
      "images must be [B, 3, {}, {}]", side, side);
  return layers_->vision(images);
}

at::Tensor BlipModel::text_states(const at::Tensor& ids, const at::Tensor& mask,
                                  const at::Tensor& images) const {
  PIXART_CHECK(ids.dim() == 2 && ids.size(1) <= config_.text.max_tokens && mask.sizes() == ids.sizes(),
               "ids and mask must be [B, T], T at most {}", config_.text.max_tokens);
  return layers_->text(ids, visible_by(mask), images, {});
}

at::Tensor BlipModel::answer_logits(const at::Tensor& answers, const at::Tensor& texts,
                                    const at::Tensor& mask) const {
  PIXART_CHECK(layers_->decoder.has_value(), "this model has no decoder");
  PIXART_CHECK(answers.dim() == 2 && answers.size(1) <= config_.text.max_tokens,
               "answers must be [B, A], A at most {}", config_.text.max_tokens);
  return (*layers_->decoder)(answers, texts, visible_by(mask));
}

}  // namespace pixart::models
