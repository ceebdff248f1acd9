#include "pixart/models/dit.h"

#include <ATen/ATen.h>

#include "../positions.h"
#include "../shared_rows.h"
#include "../token_detour.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/nn/layers.h"
#include "pixart/nn/recompute.h"

namespace pixart::models {

namespace {

struct DitBlock {
  nn::SelfAttention attn;
  nn::Mlp mlp;
  nn::Linear modulation;

  DitBlock(const nn::Scope& scope, const DitConfig& c)
      : attn(scope / "attn", c.hidden_size, c.num_heads, c.qk_norm),
        mlp(scope / "mlp", c.hidden_size, int64_t(double(c.hidden_size) * c.mlp_ratio), c.hidden_size),
        modulation(scope / "adaLN_modulation" / 1, c.hidden_size, 6 * c.hidden_size) {}

  // in [B, N, D], activated [B, D]: SiLU of the condition, whose type the matrix products use.
  nn::Stream operator()(const nn::Stream& in, const at::Tensor& activated) const {
    const auto dtype = activated.scalar_type();
    const auto m = nn::at_least_float(modulation(activated)).unsqueeze(1).chunk(6, -1);
    const nn::Residual first = nn::normed(in, {m[0], m[1]}, dtype);
    const nn::Residual second = nn::add_normed(first.x, m[2], attn.branch(first.input), {m[3], m[4]}, dtype);
    return nn::add_later(second.x, m[5], mlp.last_branch(second.input));
  }
};

}  // namespace

struct DitLayers {
  at::Tensor positions;
  nn::PatchEmbed x_embedder;
  nn::TimestepEmbedder t_embedder;
  at::Tensor label_table;
  std::vector<DitBlock> blocks;
  nn::Linear final_linear, final_modulation;

  DitLayers(const nn::Scope& scope, const DitConfig& c) {
    const int64_t side = c.input_size / c.patch_size;
    positions = scope.buffer("pos_embed", {1, side * side, c.hidden_size});
    x_embedder = {scope / "x_embedder" / "proj", c.in_channels, c.patch_size, c.hidden_size};
    t_embedder = {scope / "t_embedder", c.hidden_size};
    label_table =
        (scope / "y_embedder" / "embedding_table").parameter("weight", {c.label_rows(), c.hidden_size});
    for (int64_t i = 0; i < c.depth; ++i) blocks.emplace_back(scope / "blocks" / i, c);
    final_linear = {scope / "final_layer" / "linear", c.hidden_size,
                    c.patch_size * c.patch_size * c.out_channels()};
    final_modulation = {scope / "final_layer" / "adaLN_modulation" / 1, c.hidden_size, 2 * c.hidden_size};
  }
};

Dit::Dit(const nn::Scope& scope, const DitConfig& config)
    : config_(config), layers_(std::make_shared<DitLayers>(scope, config)) {
  PIXART_CHECK(config.hidden_size % config.num_heads == 0 && config.hidden_size % 4 == 0 &&
                   config.input_size % config.patch_size == 0,
               "width {}, {} heads, side {}, patch {}", config.hidden_size, config.num_heads,
               config.input_size, config.patch_size);
}

Dit Dit::with(const Execution& execution) const {
  Dit result = *this;
  result.execution_ = execution;
  return result;
}

at::Tensor Dit::forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& told,
                        std::vector<at::Tensor>* block_outputs, const at::Tensor& positions) const {
  const auto& l = *layers_;
  const auto dtype = execution_.dtype.value_or(l.x_embedder.weight.scalar_type());
  PIXART_CHECK(
      positions.defined() || (latent.size(2) == config_.input_size && latent.size(3) == config_.input_size),
      "latent of {} x {}; this model has positions for a side of {}", latent.size(2), latent.size(3),
      config_.input_size);
  at::Tensor x = nn::at_least_float(l.x_embedder(latent.to(dtype)));
  x = x + (positions.defined() ? positions : l.positions).to(x.scalar_type());
  x = for_rows(x, told.label.defined() ? told.label.size(0) : x.size(0));
  at::Tensor condition = for_rows(l.t_embedder(distinct_timesteps(timestep), dtype), x.size(0));
  PIXART_CHECK(!told.drop.defined() || config_.has_null_class, "labels are dropped without a null class");
  if (told.label.defined()) {
    const at::Tensor label = told.drop.defined()
                                 ? told.label.masked_fill(told.drop.to(at::kBool), config_.num_classes)
                                 : told.label;
    condition = condition + at::embedding(l.label_table, label);
  }
  const at::Tensor activated = at::silu(condition).to(dtype);
  TokenDetour detour(execution_.route);
  nn::Stream stream = x;
  for (size_t i = 0; i < l.blocks.size(); ++i) {
    const auto& block = l.blocks[i];
    if (detour.turns(i)) stream = detour.before(i, stream.sum());
    stream =
        execution_.recomputes(i)
            ? nn::recompute_in_backward(
                  [&block](const nn::Stream& in, const nn::Tensors& others) { return block(in, others[0]); },
                  stream, {activated})
            : block(stream, activated);
    if (block_outputs == nullptr) continue;
    stream = stream.sum();
    block_outputs->push_back(stream.x);
  }
  if (detour.turns(l.blocks.size())) stream = detour.before(l.blocks.size(), stream.sum());
  const auto m = l.final_modulation(activated).unsqueeze(1).chunk(2, -1);
  x = l.final_linear(nn::normed(stream, {m[0], m[1]}, dtype).input);
  return nn::unpatchify(x, latent.size(2) / config_.patch_size, latent.size(3) / config_.patch_size,
                        config_.patch_size);
}

at::Tensor Dit::forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                      const at::Tensor& label, double scale) const {
  const at::Tensor half = latent.chunk(2)[0];
  return guide_three_channels(forward(at::cat({half, half}), timestep, {.label = label}), scale);
}

std::vector<std::string> dit_preset_names() {
  std::vector<std::string> names;
  for (const auto& size : transformer_preset_names()) names.push_back("DiT-" + size);
  return names;
}

DitConfig dit_preset(const std::string& name) {
  for (const auto& size : transformer_preset_names())
    if (name == "DiT-" + size) return {transformer_preset(size), {}};
  throw UserError(unknown_name("DiT", name, dit_preset_names()));
}

}  // namespace pixart::models
