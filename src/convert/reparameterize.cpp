#include "pixart/convert/reparameterize.h"

#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/models/alignment.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"

namespace pixart::convert {

namespace {

constexpr double kTimestep = 500;  // the models agree there; "empirically t = 500" in the paper

// How a PixArt tensor that the DiT does not have is initialised; "" if there is no rule for it.
std::string new_init_rule(const std::string& name) {
  if (name.find(".cross_attn.proj.") != std::string::npos)
    return "zero: the new layer starts as the identity";
  if (name.find(".cross_attn.") != std::string::npos)
    return name.ends_with(".bias") ? "zero" : "xavier-uniform";
  if (name == "y_embedder.y_embedding") return "N(0, 1) / sqrt(caption channels)";
  if (name.starts_with("y_embedder.y_proj.") || name.starts_with("csize_embedder.") ||
      name.starts_with("ar_embedder."))
    return name.ends_with(".bias") ? "zero" : "normal";
  if (models::is_alignment_name(name)) return name.ends_with(".bias") ? "zero" : "xavier-uniform";
  return {};
}

std::string derived_rule(const std::string& name) {
  if (name == "pos_embed") return "sine-cosine table of the target's grid";
  if (name == "t_block.1.weight" || name == "t_block.1.bias") return "W, b: the blocks' adaLN layers joined";
  if (name == "final_layer.scale_shift_table") return "reshape(W_f SiLU(e) + b_f, (2, D)) - e";
  if (name.starts_with("blocks.") && name.ends_with(".scale_shift_table"))
    return "reshape(W_i SiLU(e) + b_i - (W SiLU(e) + b), (6, D))";
  return {};
}

// Prefix of the DiT's adaLN layer from which a table is made; "" for other tensors.
std::string modulation_of(const std::string& name) {
  const std::string table = "scale_shift_table";
  return name.ends_with(table) ? name.substr(0, name.size() - table.size()) + "adaLN_modulation.1." : "";
}

bool is_copied(const std::string& name) {
  if (name.starts_with("x_embedder.") || name.starts_with("t_embedder.") ||
      name.starts_with("final_layer.linear."))
    return true;
  return name.starts_with("blocks.") &&
         (name.find(".attn.") != std::string::npos || name.find(".mlp.") != std::string::npos);
}

bool is_dropped(const std::string& name) {
  return name.find("adaLN_modulation.1.") != std::string::npos ||
         name.starts_with("y_embedder.embedding_table.");
}

}  // namespace

std::vector<PlannedTensor> plan_reparameterization(const nn::StateDict& dit, const nn::StateDict& pixart) {
  std::vector<PlannedTensor> plan;
  Problems problems;
  for (const auto& target : pixart.items()) {
    const int64_t bytes = target.tensor.numel() * target.tensor.element_size();
    if (const std::string rule = derived_rule(target.name); !rule.empty()) {
      for (const char* part : {"weight", "bias"})
        if (const std::string source = modulation_of(target.name);
            !source.empty() && !dit.contains(source + part))
          problems.add(fmt::format("the DiT has no tensor {}{}", source, part));
      plan.push_back({target.name, Disposition::kDerived, rule, bytes});
    } else if (is_copied(target.name)) {
      if (!dit.contains(target.name))
        problems.add(fmt::format("the DiT has no tensor {}", target.name));
      else if (dit.get(target.name).sizes() != target.tensor.sizes())
        problems.add(fmt::format("{} has another shape in the DiT", target.name));
      plan.push_back({target.name, Disposition::kCopied, "copied", bytes});
    } else if (const std::string init = new_init_rule(target.name); !init.empty()) {
      plan.push_back({target.name, Disposition::kNewInit, init, bytes});
    } else {
      problems.add(fmt::format("there is no rule for the target's tensor {}", target.name));
    }
  }
  for (const auto& source : dit.items()) {
    const bool used = source.name == "pos_embed" || (is_copied(source.name) && pixart.contains(source.name));
    if (used) continue;
    if (is_dropped(source.name))
      plan.push_back({source.name, Disposition::kDropped, "used for the derived tensors or not at all",
                      source.tensor.numel() * source.tensor.element_size()});
    else
      problems.add(fmt::format("the DiT's tensor {} is not used in the target", source.name));
  }
  problems.throw_if_any("the DiT does not fit the PixArt");
  return plan;
}

namespace {

void require_finite(const nn::StateDict& dit, const std::string& source) {
  Problems problems;
  for (const auto& item : dit.items())
    if (!item.tensor.isfinite().all().item<bool>())
      problems.add(fmt::format("{} has values that are not finite (NaN or infinite)", item.name));
  problems.throw_if_any(source + " cannot be re-parameterised");
}

at::Tensor in_double(const nn::StateDict& state, const std::string& name) {
  return state.get(name).detach().cpu().to(at::kDouble);
}

// e: the DiT's timestep MLP at t = 500, without class embedding. Computed in float64 on the CPU.
at::Tensor embedding_at_500(const nn::StateDict& dit) {
  nn::StateDict state({.dtype = at::kDouble});
  const nn::TimestepEmbedder embedder(nn::Scope(state) / "t_embedder",
                                      dit.get("t_embedder.mlp.2.weight").size(0));
  for (const auto& item : state.items()) at::Tensor(item.tensor).copy_(in_double(dit, item.name));
  return embedder(at::full({1}, kTimestep, at::kFloat), at::kDouble)[0];
}

struct SharedModulation {
  at::Tensor weight, bias;  // [6D, D], [6D] float64
};

// The block whose modulation is shared, or nothing for the mean of all.
std::optional<int64_t> shared_block(const std::string& choice, int64_t depth) {
  if (choice == "mean") return std::nullopt;
  const std::string digits = choice.starts_with("block:") ? choice.substr(6) : "";
  const bool is_number =
      !digits.empty() && digits.size() < 6 && digits.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || std::stoll(digits) >= depth)
    throw UserError(fmt::format(
        "shared modulation '{}' is unknown; use mean, or block:<i> with i from 0 to {}.", choice, depth - 1));
  return std::stoll(digits);
}

SharedModulation shared_modulation(const nn::StateDict& dit, int64_t depth, const std::string& choice) {
  const auto name = [](int64_t block, const char* part) {
    return fmt::format("blocks.{}.adaLN_modulation.1.{}", block, part);
  };
  const auto block = shared_block(choice, depth);
  if (!block) {
    SharedModulation sum{at::zeros_like(in_double(dit, name(0, "weight"))),
                         at::zeros_like(in_double(dit, name(0, "bias")))};
    for (int64_t i = 0; i < depth; ++i) {
      sum.weight += in_double(dit, name(i, "weight"));
      sum.bias += in_double(dit, name(i, "bias"));
    }
    return {sum.weight / double(depth), sum.bias / double(depth)};
  }
  return {in_double(dit, name(*block, "weight")), in_double(dit, name(*block, "bias"))};
}

void derive(const nn::StateDict& dit, nn::StateDict& target, int64_t depth, int64_t width,
            const SharedModulation& shared) {
  const at::Tensor e = embedding_at_500(dit), activated = at::silu(e);
  target.get("t_block.1.weight").copy_(shared.weight);
  target.get("t_block.1.bias").copy_(shared.bias);
  const at::Tensor at_500 = at::mv(shared.weight, activated) + shared.bias;
  for (int64_t i = 0; i < depth; ++i) {
    const std::string prefix = fmt::format("blocks.{}.", i);
    const at::Tensor own = at::mv(in_double(dit, prefix + "adaLN_modulation.1.weight"), activated) +
                           in_double(dit, prefix + "adaLN_modulation.1.bias");
    target.get(prefix + "scale_shift_table").copy_((own - at_500).view({6, width}));
  }
  const at::Tensor last = at::mv(in_double(dit, "final_layer.adaLN_modulation.1.weight"), activated) +
                          in_double(dit, "final_layer.adaLN_modulation.1.bias");
  target.get("final_layer.scale_shift_table").copy_(last.view({2, width}) - e.unsqueeze(0));
}

}  // namespace

std::vector<PlannedTensor> check_reparameterization(const nn::StateDict& dit,
                                                    const models::DitConfig& dit_config,
                                                    const nn::StateDict& target,
                                                    const models::PixArtConfig& target_config,
                                                    const ReparameterizeOptions& options) {
  if (dit_config.num_heads != target_config.num_heads)  // shapes do not depend on it
    throw UserError(
        fmt::format("the DiT does not fit the PixArt: it has {} heads, the PixArt {}; set num_heads to {}.",
                    dit_config.num_heads, target_config.num_heads, dit_config.num_heads));
  shared_block(options.shared_modulation, dit_config.depth);
  return plan_reparameterization(dit, target);
}

std::vector<PlannedTensor> reparameterize(const nn::StateDict& dit, const models::DitConfig& dit_config,
                                          nn::StateDict& target, const models::PixArtConfig& target_config,
                                          const ReparameterizeOptions& options) {
  at::NoGradGuard no_grad;
  const auto plan = check_reparameterization(dit, dit_config, target, target_config, options);
  require_finite(dit, options.source);
  const auto shared = shared_modulation(dit, dit_config.depth, options.shared_modulation);
  models::initialize(target, target_config, options.init);  // sets new tensors and the positions
  for (const auto& tensor : plan)
    if (tensor.disposition == Disposition::kCopied) target.get(tensor.name).copy_(dit.get(tensor.name));
  derive(dit, target, dit_config.depth, dit_config.hidden_size, shared);
  return plan;
}

namespace {

// Removes the contribution of micro-conditions to the timestep embedding, and restores it.
class WithoutMicroConditions {
 public:
  explicit WithoutMicroConditions(nn::StateDict& state) {
    for (const auto& item : state.items()) {
      if (!item.name.starts_with("csize_embedder.mlp.2.") && !item.name.starts_with("ar_embedder.mlp.2."))
        continue;
      kept_.emplace_back(item.tensor, item.tensor.clone());
      at::Tensor(item.tensor).zero_();
    }
  }
  ~WithoutMicroConditions() {
    for (auto& [tensor, values] : kept_) tensor.copy_(values);
  }
  WithoutMicroConditions(const WithoutMicroConditions&) = delete;
  WithoutMicroConditions& operator=(const WithoutMicroConditions&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

}  // namespace

Proof prove_reparameterization(const models::Dit& dit, const models::PixArt& pixart,
                               nn::StateDict& pixart_state) {
  at::NoGradGuard no_grad;
  const nn::FullFloat32 no_short_products;
  const WithoutMicroConditions without(pixart_state);
  const auto& config = pixart.config();
  const auto dtype = at::promote_types(pixart.null_caption().scalar_type(), at::kFloat);
  const auto options = pixart.null_caption().options().dtype(dtype);
  constexpr int64_t kBatch = 1, kTokens = 3;
  const auto normal = [&](at::IntArrayRef shape, uint64_t stream) {
    at::Tensor tensor = at::empty(shape, at::kFloat);
    fill_normal({0, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
    return tensor.to(options);
  };
  const at::Tensor latent = normal({kBatch, config.in_channels, config.input_size, config.input_size}, 1);
  const at::Tensor t = at::full({kBatch}, kTimestep, options.dtype(at::kFloat));
  models::Condition text;
  text.caption = normal({kBatch, kTokens, config.caption_channels}, 2);
  if (config.micro_conditions) {
    text.image_size = at::full({kBatch, 2}, 256.0, options);
    text.aspect_ratio = at::ones({kBatch, 1}, options);
  }
  const int64_t side = config.input_size / config.patch_size;
  const at::Tensor positions =
      models::sincos_positions(config.hidden_size, side, side, side, config.position_scale)
          .to(options.device());
  const models::Execution execution{.dtype = dtype};
  const at::Tensor before = dit.with(execution).forward(latent, t, {}, nullptr, positions),
                   after = pixart.with(execution).forward(latent, t, text);
  return {.difference = (after - before).abs().max().item<double>(),
          .largest = before.abs().max().item<double>()};
}

void require_proof(const Proof& proof, const std::string& subject) {
  if (proof.holds()) return;
  if (!std::isfinite(proof.difference) || !std::isfinite(proof.largest)) {
    throw UserError(fmt::format(
        "{}: outputs at t = 500 are not finite (NaN or infinite) although the weights are: they are too "
        "large for float32. Use weights from an earlier step of the training.",
        subject));
  }
  throw UserError(fmt::format(
      "{}: the outputs of the DiT and of the new model at t = 500 {} (rounding explains at most {:.0e}). "
      "Are these the weights of a DiT as published (pixart inspect --verify)?",
      subject, describe(proof), kLargestProofShare));
}

std::string describe(const Proof& proof) {
  return fmt::format("differ by at most {:.2e}, {:.2e} of the largest output", proof.difference,
                     proof.share());
}

}  // namespace pixart::convert
