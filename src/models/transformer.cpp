#include "pixart/models/transformer.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/nn/device.h"

namespace pixart::models {

namespace {

// To add a model: its folder, its config and class in the variants of transformer.h, and one row here.
struct Kind {
  const char* name;
  TransformerConfig (*config)(const TransformerShape&, const ConditionSizes&);
};

constexpr Kind kKinds[] = {
    {"DiT",
     [](const auto& shape, const auto& sizes) -> TransformerConfig {
       return DitConfig{shape, sizes.labels};
     }},
    {"PixArt",
     [](const auto& shape, const auto& sizes) -> TransformerConfig {
       return PixArtConfig{shape, sizes.text};
     }},
};

std::string name_of(const DitConfig&) { return "DiT"; }
std::string name_of(const PixArtConfig& config) {
  if (is_sigma(config)) return "PixArt-Sigma";
  return config.micro_conditions ? "PixArt-MS" : "PixArt";
}

const LabelSizes* labels_of(const DitConfig& config) { return &config; }
const LabelSizes* labels_of(const PixArtConfig&) { return nullptr; }
const TextSizes* text_of(const DitConfig&) { return nullptr; }
const TextSizes* text_of(const PixArtConfig& config) { return &config; }

Condition prepared_by(const Dit&, const Condition& condition) { return condition; }
Condition prepared_by(const PixArt& model, const Condition& condition) { return model.prepared(condition); }

void null_into(const Dit& model, Condition& condition) {
  if (!model.config().has_null_class)
    throw UserError(
        "this DiT was trained without a null class, so guidance is not possible: set guidance to 1.");
  condition.label = at::full_like(condition.label, model.config().num_classes);
}

void null_into(const PixArt& model, Condition& condition) {
  condition.caption = model.null_caption().unsqueeze(0).expand_as(condition.caption);
}

std::variant<Dit, PixArt> build(const nn::Scope& scope, const DitConfig& config) {
  return Dit(scope, config);
}
std::variant<Dit, PixArt> build(const nn::Scope& scope, const PixArtConfig& config) {
  return PixArt(scope, config);
}

// Calls `each(a, b)` with each tensor of one condition and the same tensor of the other.
template <class First, class Each>
void for_each_tensor(First& first, const Condition& second, Each each) {
  each(first.label, second.label);
  each(first.caption, second.caption);
  each(first.mask, second.mask);
  each(first.drop, second.drop);
  each(first.image_size, second.image_size);
  each(first.aspect_ratio, second.aspect_ratio);
  each(first.control, second.control);
}

}  // namespace

const TransformerShape& TransformerConfig::shape() const {
  return std::visit([](const TransformerShape& shape) -> const TransformerShape& { return shape; }, kind_);
}

std::string TransformerConfig::kind_name() const {
  return std::visit([](const auto& config) { return name_of(config); }, kind_);
}

int64_t TransformerConfig::num_classes() const {
  const auto* labels = std::visit([](const auto& config) { return labels_of(config); }, kind_);
  return labels == nullptr ? 0 : labels->num_classes;
}

int64_t TransformerConfig::caption_channels() const {
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text == nullptr ? 0 : text->caption_channels;
}

int64_t TransformerConfig::max_tokens() const {
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text == nullptr ? 0 : text->max_tokens;
}

bool TransformerConfig::takes_any_size() const {
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text != nullptr && text->multi_scale;
}

bool TransformerConfig::has_micro_conditions() const {
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text != nullptr && text->micro_conditions;
}

const KvCompression& TransformerConfig::kv_compression() const {
  static const KvCompression none;
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text == nullptr ? none : text->kv_compression;
}

int64_t TransformerConfig::control_blocks() const {
  const auto* text = std::visit([](const auto& config) { return text_of(config); }, kind_);
  return text == nullptr ? 0 : text->control_blocks;
}

TransformerWork TransformerConfig::work() const {
  const TransformerShape& s = shape();
  const int64_t side = s.input_size / s.patch_size, patch = s.patch_size * s.patch_size;
  return {.tokens = side * side,
          .width = s.hidden_size,
          .depth = s.depth,
          .heads = s.num_heads,
          .mlp_ratio = s.mlp_ratio,
          .patch_values = patch * s.in_channels,
          .output_values = patch * s.out_channels(),
          .cross_attention = caption_channels() > 0,
          .caption_tokens = max_tokens(),
          .caption_width = caption_channels(),
          .micro_conditions = has_micro_conditions(),
          .qk_norm = s.qk_norm,
          .kv_compression = kv_compression(),
          .compressed_tokens = kv_compression().keys(side, side),
          .control_blocks = control_blocks()};
}

TransformerWork TransformerWork::skipping(double rate, int64_t first, int64_t last) const {
  TransformerWork result = *this;
  if (rate == 0) return result;
  result.kept = TokenRoute::num_kept(tokens, rate), result.from = first, result.to = last;
  return result;
}

TransformerConfig transformer_config(const std::string& kind, const TransformerShape& shape,
                                     const ConditionSizes& sizes) {
  return row_named(kKinds, kind, "transformer").config(shape, sizes);
}

TransformerConfig published_transformer(const std::string& name) {
  if (contains(pixart_preset_names(), name)) return pixart_preset(name);
  return dit_preset(name);
}

Transformer::Transformer(const nn::Scope& scope, const TransformerConfig& config)
    : config_(config),
      model_(std::visit([&](const auto& kind) { return build(scope, kind); }, config.kind())) {}

at::Tensor Transformer::forward(const at::Tensor& latent, const at::Tensor& timestep,
                                const Condition& condition, std::vector<at::Tensor>* block_outputs) const {
  return std::visit(
      [&](const auto& model) { return model.forward(latent, timestep, condition, block_outputs); }, model_);
}

Condition Transformer::prepared(const Condition& condition) const {
  return std::visit([&](const auto& model) { return prepared_by(model, condition); }, model_);
}

Condition Transformer::null_of(const Condition& condition) const {
  Condition result = condition;
  result.prepared = {};
  std::visit([&](const auto& model) { null_into(model, result); }, model_);
  return result;
}

Transformer Transformer::with(const Execution& execution) const {
  return std::visit([&](const auto& model) { return Transformer(config_, model.with(execution)); }, model_);
}

Transformer Transformer::along(const TokenRoute& route) const {
  const auto on_route = [&](const auto& model) {
    Execution execution = model.execution();
    execution.route = route;
    return Transformer(config_, model.with(execution));
  };
  return std::visit(on_route, model_);
}

void initialize(nn::StateDict& state, const TransformerConfig& config, const TransformerInit& init) {
  std::visit([&](const auto& kind) { initialize(state, kind, init); }, config.kind());
}

Condition joined(const Condition& first, const Condition& second) {
  Condition result = first;
  result.layout = {};
  result.prepared = {};
  for_each_tensor(result, second, [](at::Tensor& a, const at::Tensor& b) {
    PIXART_CHECK(a.defined() == b.defined(), "two conditions with different tensors");
    if (a.defined()) a = at::cat({a, b});
  });
  return result;
}

Condition moved(const Condition& condition, at::Device device) {
  Condition result = condition;
  result.prepared = {};
  for_each_tensor(result, condition, [&](at::Tensor& to, const at::Tensor& from) {
    if (from.defined() && &from != &condition.mask) to = nn::on_device(from, device);
  });
  return result;
}

Condition rows_of(const Condition& condition, int64_t first, int64_t count) {
  Condition result = condition;
  result.layout = {};
  result.prepared = {};
  for_each_tensor(result, condition, [&](at::Tensor& rows, const at::Tensor& all) {
    if (all.defined()) rows = all.narrow(0, first, count);
  });
  return result;
}

}  // namespace pixart::models
