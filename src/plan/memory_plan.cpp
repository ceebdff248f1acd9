#include "pixart/plan/memory_plan.h"

#include <algorithm>

#include "element_sizes.h"

namespace pixart::plan {

namespace {

constexpr double kTimestepValues = 256;
// Tensors of the latent's size while the loss is computed, and the number of them kept for its backward.
constexpr double kLossLatents = 28, kKeptLossLatents = 18;

struct PerSample {
  double block = 0, block_input = 0;  // kept by a block, and by a block that is recomputed
  double compressed = 0;              // kept by a block with compressed keys in addition
  double outer = 0;                   // kept until the end of backward
  double last = 0;                    // last norm and output layer: freed before backward reaches the blocks
  double loss = 0, loss_kept = 0;
  double stream = 0, branch = 0, inner = 0;  // gradients of the stream, a branch, the MLP's inner layer
};

// Keys and values that are copies, and with a convolution the float32 input of their norm, its means and
// deviations. The uncompressed ones are kept with the queries.
double compressed_keys(const models::TransformerWork& s, double product) {
  if (s.kv_compression.sampling == models::KvSampling::kEvery) return 0;  // a view
  const double keys = double(s.compressed_tokens), copies = 2 * keys * double(s.width) * product;
  return s.kv_compression.has_weights() ? copies + 2 * keys * double(s.width + 2) * kFloat : copies;
}

PerSample per_sample(const models::TransformerWork& s, double product) {
  const double n = double(s.tokens), d = double(s.width), t = double(s.caption_tokens), h = double(s.heads),
               caption = double(s.caption_width), inner = double(s.mlp_width());
  PerSample result;
  result.block_input = n * d * kFloat;
  result.block = n * (6 * d * kFloat + (s.cross_attention ? 9 : 6) * d * product + 2 * inner * product);
  result.block += n * (4 + (s.cross_attention ? 2 : 1) * h) * kFloat + 8 * d * kFloat;
  if (s.cross_attention) result.block += 2 * t * d * product;
  if (s.qk_norm) {  // normalised q and k, and in bfloat16 their inputs in float32; means and deviations
    const double wide = product < kFloat ? kFloat : 0;
    result.block += n * (2 * d * (product + wide) + 4 * kFloat);
  }
  result.compressed = compressed_keys(s, product);
  result.outer = n * double(s.patch_values) * product + (kTimestepValues + 5 * d) * product;
  if (s.cross_attention) result.outer += 6 * d * kFloat + t * (caption + 3 * d) * product;
  result.last = n * d * (2 * kFloat + product) + n * 2 * kFloat + 4 * d * kFloat;
  const double latent = n * double(s.patch_values) * kFloat;
  result.loss = kLossLatents * latent + (s.cross_attention ? t * caption * kFloat : 0);
  result.loss_kept = kKeptLossLatents * latent;
  result.stream = n * d * kFloat;
  result.branch = n * d * product;
  result.inner = n * inner * product;
  return result;
}

// Takes out the normalised outputs of a block's two norms and of the last norm.
PerSample without_normals(PerSample one) {
  one.block -= 2 * one.block_input;
  one.last -= one.block_input;
  return one;
}

// The same if only adapters at the usual layers are trained; norms then keep as little, fused or not.
PerSample with_adapters(PerSample one, const models::TransformerWork& s, double product, int64_t rank) {
  const double n = double(s.tokens), d = double(s.width), t = double(s.caption_tokens), r = double(rank);
  constexpr double kStream = 4;  // not kept, of 6: both norms' outputs, both branches' outputs
  const double layers = s.cross_attention ? 6 : 4;  // adapted layers of a block that see image tokens
  one.block += n * (layers * r * product - kStream * d * kFloat) + (s.cross_attention ? t * r * product : 0);
  one.outer = s.cross_attention ? t * d * product : 0;
  one.last = n * d * kFloat;
  one.inner *= 2;  // through the weights and through the adapter
  return one;
}

}  // namespace

double MemoryParts::total() const {
  double sum = 0;
  for (const auto& [name, bytes] : named()) sum += bytes;
  return sum;
}

std::vector<std::pair<std::string, double>> MemoryParts::named() const {
  return {{"weights", weights},
          {"low_precision_copies", low_precision_copies},
          {"gradients", gradients},
          {"optimizer", optimizer},
          {"average", ema},
          {"communication", communication},
          {"activations", activations},
          {"workspace", workspace},
          {"buffers", buffers},
          {"reserve", reserve}};
}

ActivationBytes activation_bytes(const models::TransformerWork& shape, const ActivationOptions& options) {
  const double product = options.bfloat16 ? 2 : kFloat, batch = double(options.micro_batch);
  const bool lora = options.lora_rank > 0;
  const auto of_tokens = [&](int64_t tokens) {
    models::TransformerWork work = shape;
    work.tokens = tokens;
    PerSample one = per_sample(work, product);
    if (lora) one = with_adapters(one, work, product, options.lora_rank);
    if (options.fused_norms) return lora ? one : without_normals(one);
    // On a GPU, the branch that a block leaves to the next one.
    one.block_input += one.branch;
    return one;
  };
  const PerSample one = of_tokens(shape.tokens), few = of_tokens(shape.kept);
  const auto in = [&](int64_t block) { return shape.from <= block && block < shape.to ? few : one; };
  const auto recomputed = [&](int64_t block) {
    const bool is_chosen = options.recompute_every > 0 && (block + 1) % options.recompute_every == 0;
    return is_chosen && !(lora && block == 0);
  };
  const auto all_of = [&](int64_t block) {
    return in(block).block + (shape.kv_compression.in_layer(block) ? one.compressed : 0);
  };
  const auto kept_by = [&](int64_t block) {
    return recomputed(block) ? in(block).block_input : all_of(block);
  };
  double kept = one.outer;
  for (int64_t i = 0; i < shape.depth; ++i) kept += kept_by(i);
  // Copies keep what their blocks keep, and the input of the linear layer after each.
  const double linear_input = double(shape.tokens) * double(shape.width) * product;
  for (int64_t i = 0; i < shape.control_blocks; ++i) kept += kept_by(i) + linear_input;
  double peak = kept + one.last + one.loss;

  // The gradient of one MLP weight, before it is added to the buffer.
  const double rows = lora ? double(options.lora_rank) : double(shape.width);
  const double weight_gradient =
      rows * double(shape.mlp_width()) * (options.bfloat16 ? kFloat + product : kFloat);
  double running = kept;
  for (int64_t i = shape.depth - 1; i >= 0; --i) {
    // The gradient of the stream uses the memory of the branch's output, which is freed by then.
    const PerSample block = in(i);
    double here = running + block.branch + block.inner;
    if (recomputed(i)) here += all_of(i) - block.block_input + block.stream;
    peak = std::max(peak, here + weight_gradient / batch);
    running -= kept_by(i);
  }
  return {.kept = (kept + one.last + one.loss_kept) * batch, .peak = peak * batch};
}

ActivationBytes activation_bytes(const AutoencoderCost& cost, const models::VaeConfig& config, int64_t side,
                                 int64_t micro_batch) {
  const double batch = double(micro_batch);
  const double widest = double(config.block_out_channels.front()) * double(side) * double(side);
  const double kept = cost.saved_numbers * kFloat * batch;
  return {.kept = kept, .peak = kept + 3 * widest * kFloat * batch};
}

}  // namespace pixart::plan
