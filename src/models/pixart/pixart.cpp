#include "pixart/models/pixart.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "../positions.h"
#include "../shared_rows.h"
#include "../token_detour.h"
#include "compressed_keys.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/nn/layers.h"
#include "pixart/nn/recompute.h"

namespace pixart::models {

namespace {

struct PixArtBlock {
  at::Tensor table;  // scale_shift_table [6, D]
  nn::SelfAttention attn;
  CompressedKeys keys;
  nn::CrossAttention cross_attn;
  nn::Mlp mlp;

  PixArtBlock(const nn::Scope& scope, const PixArtConfig& c, int64_t index)
      : table(scope.parameter("scale_shift_table", {6, c.hidden_size})),
        attn(scope / "attn", c.hidden_size, c.num_heads, c.qk_norm),
        keys(scope / "attn", c.hidden_size, c.kv_compression, index),
        cross_attn(scope / "cross_attn", c.hidden_size, c.num_heads),
        mlp(scope / "mlp", c.hidden_size, int64_t(double(c.hidden_size) * c.mlp_ratio), c.hidden_size) {}

  // in [R, N, D] on `grid`, modulation [M, 6, D] of the timestep, text in the type of the matrix products,
  // with its keys and values if they are kept -> [B, N, D] for the B texts, which divide by R, and R by M.
  // Texts meet in cross-attention first, so until then the R rows are those that differ. It has neither norm
  // nor gate.
  nn::Stream operator()(const nn::Stream& in, const at::Tensor& modulation, const nn::PackedText& text,
                        const TokenGrid& grid, const at::Tensor& kept = {}) const {
    const auto dtype = text.tokens.scalar_type();
    const at::Tensor modulations = nn::at_least_float(table).unsqueeze(0) + modulation;
    auto m = for_rows(modulations, in.x.size(0)).chunk(6, 1);
    const nn::Residual first = nn::normed(in, {m[0], m[1]}, dtype);
    nn::RoundedStream after = nn::add_rounded(first, m[2], attn.branch(first.input, keys.on(grid)), dtype);
    if (in.x.size(0) < text.batch) {
      const at::Tensor all = for_rows(after.stream.sum(), text.batch);
      after = {all, all.to(dtype)};
      m = for_rows(modulations, text.batch).chunk(6, 1);
    }
    const nn::Residual second =
        nn::add_normed(after.stream, {}, cross_attn.branch(after.input, kept, text), {m[3], m[4]}, dtype);
    return nn::add_later(second.x, m[5], mlp.last_branch(second.input));
  }
};

// A trained copy of a block between linear layers.
struct ControlBlock {
  nn::Linear before;  // of the first copy only
  PixArtBlock copy;
  nn::Linear after;

  ControlBlock(const nn::Scope& scope, const PixArtConfig& c, int64_t index)
      : copy(scope / "copied_block", c, index) {
    if (index == 0) before = {scope / "before_proj", c.hidden_size, c.hidden_size};
    after = {scope / "after_proj", c.hidden_size, c.hidden_size};
  }
};

}  // namespace

struct PixArtLayers {
  at::Tensor positions, null_caption;
  nn::PatchEmbed x_embedder;
  nn::TimestepEmbedder t_embedder, csize_embedder, ar_embedder;
  nn::Linear t_block;
  nn::Mlp y_proj;
  std::vector<PixArtBlock> blocks;
  std::vector<ControlBlock> control;
  at::Tensor final_table;  // [2, D]: shift, scale
  nn::Linear final_linear;
  std::map<std::pair<int64_t, int64_t>, at::Tensor> grids;  // positions computed for other grids
  std::mutex grids_mutex;

  PixArtLayers(const nn::Scope& scope, const PixArtConfig& c) {
    const int64_t side = c.input_size / c.patch_size;
    positions = scope.buffer("pos_embed", {1, side * side, c.hidden_size});
    x_embedder = {scope / "x_embedder" / "proj", c.in_channels, c.patch_size, c.hidden_size};
    t_embedder = {scope / "t_embedder", c.hidden_size};
    t_block = {scope / "t_block" / 1, c.hidden_size, 6 * c.hidden_size};
    null_caption = (scope / "y_embedder").buffer("y_embedding", {c.max_tokens, c.caption_channels});
    y_proj = {scope / "y_embedder" / "y_proj", c.caption_channels, c.hidden_size, c.hidden_size};
    if (c.micro_conditions) {
      csize_embedder = {scope / "csize_embedder", c.hidden_size / 3};
      ar_embedder = {scope / "ar_embedder", c.hidden_size / 3};
    }
    for (int64_t i = 0; i < c.depth; ++i) blocks.emplace_back(scope / "blocks" / i, c, i);
    for (int64_t i = 0; i < c.control_blocks; ++i) control.emplace_back(scope / "controlnet" / i, c, i);
    final_table = (scope / "final_layer").parameter("scale_shift_table", {2, c.hidden_size});
    final_linear = {scope / "final_layer" / "linear", c.hidden_size,
                    c.patch_size * c.patch_size * c.out_channels()};
  }

  // A multi-scale model computes positions for the latent's grid; the fixed model has a table.
  at::Tensor positions_for(const PixArtConfig& c, int64_t rows, int64_t cols) {
    if (!c.multi_scale) {
      const int64_t side = c.input_size / c.patch_size;
      PIXART_CHECK(rows == side && cols == side, "grid of {} x {}; this model has positions for {} x {}",
                   rows, cols, side, side);
      return positions;
    }
    const std::scoped_lock lock(grids_mutex);
    auto& table = grids[{rows, cols}];
    if (!table.defined())
      table = sincos_positions(c.hidden_size, rows, cols, c.input_size / c.patch_size, c.position_scale)
                  .to(positions.options());
    return table;
  }

  // The tokens of a latent, [R, N, D].
  at::Tensor patches(const PixArtConfig& c, const at::Tensor& latent, at::ScalarType dtype) {
    return nn::at_least_float(x_embedder(latent.to(dtype))) +
           nn::at_least_float(positions_for(c, latent.size(2) / c.patch_size, latent.size(3) / c.patch_size));
  }

  // [M, D] of M timesteps; with micro-conditions, of height, width and aspect ratio too, [B, D] of B images.
  at::Tensor condition(const PixArtConfig& c, const at::Tensor& timestep, const Condition& text,
                       at::ScalarType dtype) const {
    const at::Tensor time = t_embedder(timestep, dtype);
    if (!c.micro_conditions) return time;
    PIXART_CHECK(text.image_size.defined() && text.aspect_ratio.defined(),
                 "micro-conditions need image sizes and aspect ratios");
    const int64_t batch = text.image_size.size(0);
    const at::Tensor size = csize_embedder(text.image_size.reshape({2 * batch}), dtype).view({batch, -1});
    const at::Tensor micro = at::cat({size, ar_embedder(text.aspect_ratio.reshape({batch}), dtype)}, 1);
    const int64_t rows = std::max(time.size(0), micro.size(0));
    return for_rows(time, rows) + for_rows(micro, rows);
  }

  // The caption tokens after token drop and projection, without padding.
  nn::PackedText caption(const PixArtConfig& c, const Condition& text, at::ScalarType dtype) const {
    const int64_t head_size = c.hidden_size / c.num_heads;
    at::Tensor features = text.caption.dim() == 4 ? text.caption.squeeze(1) : text.caption;
    features = features.to(dtype);
    if (text.drop.defined()) {
      PIXART_CHECK(features.size(1) == null_caption.size(0), "captions of {} tokens, null caption of {}",
                   features.size(1), null_caption.size(0));
      features = at::where(text.drop.to(at::kBool).reshape({-1, 1, 1}), null_caption.to(dtype).unsqueeze(0),
                           features);
    }
    nn::PackedText packed = text.layout.source.defined() ? nn::pack_text_by(text.layout, features, head_size)
                                                         : nn::pack_text(features, text.mask, head_size);
    packed.tokens = y_proj(packed.tokens);
    return packed;
  }
};

PixArt::PixArt(const nn::Scope& scope, const PixArtConfig& config)
    : config_(config), layers_(std::make_shared<PixArtLayers>(scope, config)) {
  PIXART_CHECK(config.hidden_size % config.num_heads == 0 && config.hidden_size % 4 == 0 &&
                   config.input_size % config.patch_size == 0,
               "width {}, {} heads, side {}, patch {}", config.hidden_size, config.num_heads,
               config.input_size, config.patch_size);
  PIXART_CHECK(!config.micro_conditions || config.hidden_size % 3 == 0,
               "micro-conditions need a width divisible by 3, not {}", config.hidden_size);
  PIXART_CHECK(config.control_blocks >= 0 && config.control_blocks < config.depth,
               "{} control blocks of a model with {} blocks", config.control_blocks, config.depth);
  const auto wrong = config.kv_compression.problems(config.depth);
  PIXART_CHECK(wrong.empty(), "kv_compression: {}", join(wrong, "; "));
}

PixArt PixArt::with(const Execution& execution) const {
  PixArt result = *this;
  result.execution_ = execution;
  return result;
}

Condition PixArt::prepared(const Condition& text, int64_t most_bytes) const {
  const auto& l = *layers_;
  auto prepared = std::make_shared<PreparedCaption>();
  prepared->text = l.caption(config_, text, execution_.dtype.value_or(l.x_embedder.weight.scalar_type()));
  const auto& packed = prepared->text;
  const int64_t positions = packed.bounds.defined() ? packed.tokens.size(0) : packed.batch * packed.longest,
                of_a_block = positions * 2 * config_.hidden_size * int64_t(packed.tokens.element_size());
  const auto count = size_t(std::min(config_.depth, most_bytes / std::max<int64_t>(1, of_a_block)));
  for (size_t i = 0; i < count; ++i)
    prepared->keys_and_values.push_back(l.blocks[i].cross_attn.keys_and_values(packed));
  Condition result = text;
  result.prepared = std::move(prepared);
  return result;
}

namespace {

at::Tensor kept_of(const PreparedCaption& caption, size_t block) {
  return block < caption.keys_and_values.size() ? caption.keys_and_values[block] : at::Tensor();
}

}  // namespace

at::Tensor PixArt::forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& text,
                           std::vector<at::Tensor>* block_outputs) const {
  auto& l = *layers_;
  const auto dtype = execution_.dtype.value_or(l.x_embedder.weight.scalar_type());
  const int64_t rows = latent.size(2) / config_.patch_size, cols = latent.size(3) / config_.patch_size;
  const TokenGrid grid{rows, cols};
  PreparedCaption caption =
      text.prepared ? *text.prepared
                    : PreparedCaption{.text = l.caption(config_, text, dtype), .keys_and_values = {}};
  nn::set_queries(caption.text, rows * cols);
  const nn::PackedText& packed = caption.text;
  at::Tensor patches = l.patches(config_, latent, dtype);
  if (config_.micro_conditions)
    patches = for_rows(patches, packed.batch);  // they may differ from the first block on
  const at::Tensor condition = l.condition(config_, distinct_timesteps(timestep), text, dtype);
  const at::Tensor modulation =
      nn::at_least_float(l.t_block(at::silu(condition)).view({-1, 6, config_.hidden_size}));
  const auto run = [&](const PixArtBlock& block, size_t i, const nn::Stream& input, const at::Tensor& kept) {
    return execution_.recomputes(i)
               ? nn::recompute_in_backward(
                     [&block, grid, rest = packed](const nn::Stream& in, const nn::Tensors& others) {
                       nn::PackedText text_of_block = rest;
                       text_of_block.tokens = others[1];
                       return block(in, others[0], text_of_block, grid);
                     },
                     input, {modulation, packed.tokens})
               : block(input, modulation, packed, grid, kept);
  };
  at::Tensor c = text.control.defined() ? l.patches(config_, text.control, dtype) : at::Tensor();
  TokenDetour detour(execution_.route);
  nn::Stream stream = patches;
  for (size_t i = 0; i < l.blocks.size(); ++i) {
    if (detour.turns(i)) stream = detour.before(i, stream.sum());
    if (c.defined() && i >= 1 && i <= l.control.size()) {
      const ControlBlock& control = l.control[i - 1];
      const at::Tensor x = stream.sum();
      c = run(control.copy, i - 1, i == 1 ? x + control.before(c.to(dtype)) : c, {}).sum();
      stream = x + text.control_strength * control.after(c.to(dtype));
    }
    stream = run(l.blocks[i], i, stream, kept_of(caption, i));
    if (block_outputs == nullptr) continue;
    stream = stream.sum();
    block_outputs->push_back(stream.x);
  }
  if (detour.turns(l.blocks.size())) stream = detour.before(l.blocks.size(), stream.sum());
  const at::Tensor final =
      nn::at_least_float(l.final_table).unsqueeze(0) + nn::at_least_float(condition).unsqueeze(1);
  const auto m = for_rows(final, stream.x.size(0)).chunk(2, 1);
  const at::Tensor out = l.final_linear(nn::normed(stream, {m[0], m[1]}, dtype).input);
  return nn::unpatchify(out, rows, cols, config_.patch_size);
}

at::Tensor PixArt::forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                         const Condition& text, double scale) const {
  const at::Tensor half = latent.chunk(2)[0];
  return guide_three_channels(forward(at::cat({half, half}), timestep, text), scale);
}

at::Tensor PixArt::null_caption() const { return layers_->null_caption; }

bool is_sigma(const TextSizes& sizes) {
  return (sizes.multi_scale && !sizes.micro_conditions) || sizes.max_tokens == kSigmaTokens ||
         sizes.kv_compression.is_on();
}

std::vector<std::string> pixart_preset_names() {
  return {"PixArt-XL/2", "PixArt-MS-XL/2", "PixArt-Sigma-XL/2"};
}

PixArtConfig pixart_preset(const std::string& name) {
  if (name == "PixArt-XL/2") return {};
  if (name == "PixArt-MS-XL/2")
    return {{.input_size = 128}, {.position_scale = 2.0, .multi_scale = true, .micro_conditions = true}};
  if (name == "PixArt-Sigma-XL/2")
    return {{.input_size = 128}, {.max_tokens = kSigmaTokens, .position_scale = 2.0, .multi_scale = true}};
  throw UserError(unknown_name("PixArt", name, pixart_preset_names()));
}

}  // namespace pixart::models
