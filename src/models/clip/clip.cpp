#include "pixart/models/clip.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/nn/layers.h"

namespace pixart::models {

namespace {

constexpr int64_t kColours = 3;

at::Tensor activated(ClipActivation activation, const at::Tensor& x) {
  return activation == ClipActivation::kQuickGelu ? x * at::sigmoid(x * 1.702) : at::gelu(x);
}

struct Attention {
  nn::Linear q, k, v, out;
  int64_t num_heads;

  Attention(const nn::Scope& scope, const ClipTower& c)
      : q(scope / "q_proj", c.width, c.width),
        k(scope / "k_proj", c.width, c.width),
        v(scope / "v_proj", c.width, c.width),
        out(scope / "out_proj", c.width, c.width),
        num_heads(c.heads) {}

  at::Tensor operator()(const at::Tensor& x, bool is_causal) const {
    const auto heads = [this](const at::Tensor& t) {
      return t.unflatten(-1, {num_heads, -1}).transpose(1, 2);
    };
    const at::Tensor y = at::scaled_dot_product_attention(heads(q(x)), heads(k(x)), heads(v(x)), {},
                                                          /*dropout_p=*/0.0, is_causal);
    return out(y.transpose(1, 2).flatten(2));
  }
};

struct Block {
  Attention attention;
  nn::AffineNorm attention_norm, mlp_norm;
  nn::Linear fc1, fc2;
  ClipActivation activation;

  Block(const nn::Scope& scope, const ClipTower& c)
      : attention(scope / "self_attn", c),
        attention_norm(scope / "layer_norm1", c.width),
        mlp_norm(scope / "layer_norm2", c.width),
        fc1(scope / "mlp" / "fc1", c.width, c.mlp),
        fc2(scope / "mlp" / "fc2", c.mlp, c.width),
        activation(c.activation) {}

  at::Tensor operator()(const at::Tensor& x, bool is_causal) const {
    const at::Tensor after = x + attention(attention_norm(x), is_causal);
    return after + fc2(activated(activation, fc1(mlp_norm(after))));
  }
};

struct Blocks {
  std::vector<Block> blocks;

  Blocks(const nn::Scope& scope, const ClipTower& c) {
    const nn::Scope layers = scope / "encoder" / "layers";
    for (int64_t i = 0; i < c.layers; ++i) blocks.emplace_back(layers / i, c);
  }
  at::Tensor operator()(at::Tensor x, bool is_causal, std::vector<at::Tensor>* hidden) const {
    if (hidden != nullptr) hidden->push_back(x);
    for (const auto& block : blocks) {
      x = block(x, is_causal);
      if (hidden != nullptr) hidden->push_back(x);
    }
    return x;
  }
};

struct VisionLayers {
  at::Tensor class_embedding, patch_weight, position;
  nn::AffineNorm first_norm;
  Blocks blocks;
  nn::AffineNorm last_norm;

  VisionLayers(const nn::Scope& scope, const ClipConfig& c)
      : class_embedding((scope / "embeddings").parameter("class_embedding", {c.vision.width})),
        patch_weight((scope / "embeddings" / "patch_embedding")
                         .parameter("weight", {c.vision.width, kColours, c.patch_size, c.patch_size})),
        position((scope / "embeddings" / "position_embedding")
                     .parameter("weight", {num_patches(c) + 1, c.vision.width})),
        first_norm(scope / "pre_layrnorm", c.vision.width),  // the published name
        blocks(scope, c.vision),
        last_norm(scope / "post_layernorm", c.vision.width) {}

  static int64_t num_patches(const ClipConfig& c) {
    const int64_t side = c.image_size / c.patch_size;
    return side * side;
  }
  at::Tensor operator()(const at::Tensor& images, std::vector<at::Tensor>* hidden) const {
    const int64_t patch = patch_weight.size(2);
    const at::Tensor patches =
        at::conv2d(images.to(patch_weight.scalar_type()), patch_weight, {}, {patch, patch})
            .flatten(2)
            .transpose(1, 2);
    const at::Tensor first = class_embedding.expand({images.size(0), 1, -1});
    const at::Tensor x = first_norm(at::cat({first, patches}, 1) + position);
    return last_norm(blocks(x, /*is_causal=*/false, hidden).select(1, 0));
  }
};

struct TextLayers {
  at::Tensor embedding, position;
  Blocks blocks;
  nn::AffineNorm last_norm;
  int64_t end_token;

  TextLayers(const nn::Scope& scope, const ClipConfig& c)
      : embedding(
            (scope / "embeddings" / "token_embedding").parameter("weight", {c.vocab_size, c.text.width})),
        position(
            (scope / "embeddings" / "position_embedding").parameter("weight", {c.max_tokens, c.text.width})),
        blocks(scope, c.text),
        last_norm(scope / "final_layer_norm", c.text.width),
        end_token(c.end_token) {}

  // The place of each text's end token; 0 if it has none, as in transformers.
  at::Tensor ends(const at::Tensor& ids) const {
    return end_token < 0 ? ids.argmax(1) : ids.eq(end_token).to(at::kLong).argmax(1);
  }
  at::Tensor operator()(const at::Tensor& ids, std::vector<at::Tensor>* hidden) const {
    const at::Tensor x = at::embedding(embedding, ids) + position.slice(0, 0, ids.size(1));
    const at::Tensor y = last_norm(blocks(x, /*is_causal=*/true, hidden));
    return y.index({at::arange(ids.size(0), ids.options()), ends(ids)});
  }
};

}  // namespace

struct ClipLayers {
  VisionLayers vision;
  TextLayers text;
  nn::Linear vision_projection, text_projection;
  at::Tensor logit_scale;

  ClipLayers(const nn::Scope& scope, const ClipConfig& c)
      : vision(scope / "vision_model", c),
        text(scope / "text_model", c),
        vision_projection(scope / "visual_projection", c.vision.width, c.embedding, /*with_bias=*/false),
        text_projection(scope / "text_projection", c.text.width, c.embedding, /*with_bias=*/false),
        logit_scale(scope.parameter("logit_scale", {})) {}
};

ClipModel::ClipModel(const nn::Scope& scope, const ClipConfig& config)
    : config_(config), layers_(std::make_shared<ClipLayers>(scope, config)) {}

at::Tensor ClipModel::image_features(const at::Tensor& images, std::vector<at::Tensor>* hidden) const {
  const int64_t side = config_.image_size;
  PIXART_CHECK(
      images.dim() == 4 && images.size(1) == kColours && images.size(2) == side && images.size(3) == side,
      "images must be [B, 3, {}, {}]", side, side);
  return layers_->vision_projection(layers_->vision(images, hidden));
}

at::Tensor ClipModel::text_features(const at::Tensor& ids, std::vector<at::Tensor>* hidden) const {
  PIXART_CHECK(ids.dim() == 2 && ids.size(1) <= config_.max_tokens, "ids must be [B, T], T at most {}",
               config_.max_tokens);
  return layers_->text_projection(layers_->text(ids, hidden));
}

double ClipModel::logit_scale() const {
  return std::exp(layers_->logit_scale.to(at::kDouble).item<double>());
}

}  // namespace pixart::models
