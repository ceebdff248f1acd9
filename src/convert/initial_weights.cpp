#include "pixart/convert/initial_weights.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/nn/lora.h"

namespace pixart::convert {

namespace {

void copy(nn::StateDict& state, const models::DitConfig&, std::map<std::string, at::Tensor> weights,
          const std::string& subject) {
  nn::load_state(state, weights, subject, {.may_be_missing = nn::lora_names(state), .may_be_unexpected = {}});
}

void copy(nn::StateDict& state, const models::PixArtConfig&, std::map<std::string, at::Tensor> weights,
          const std::string& subject) {
  weights.erase("pos_embed");
  auto may_be_missing = nn::lora_names(state);
  const bool with_adapters = !may_be_missing.empty();
  for (const char* name : {"pos_embed", "y_embedder.y_embedding"}) may_be_missing.emplace_back(name);
  if (!with_adapters)  // new tensors must be trained
    for (const char* name : {"csize_embedder.*", "ar_embedder.*"}) may_be_missing.emplace_back(name);
  nn::load_state(state, weights, subject, {.may_be_missing = may_be_missing, .may_be_unexpected = {}});
}

}  // namespace

models::TransformerConfig transformer_of(const Identity& identity, const std::string& subject) {
  if (const auto* dit = std::get_if<models::DitConfig>(&identity.architecture)) return *dit;
  if (const auto* pixart = std::get_if<models::PixArtConfig>(&identity.architecture)) return *pixart;
  throw UserError(fmt::format("{} is not a transformer ({}).", subject, layout_name(identity.layout)));
}

Architecture architecture_of(const models::TransformerConfig& config) {
  return std::visit([](const auto& kind) -> Architecture { return kind; }, config.kind());
}

void copy_into(nn::StateDict& state, const models::TransformerConfig& target, const OfficialWeights& source,
               const std::string& subject) {
  at::NoGradGuard no_grad;
  std::visit([&](const auto& config) { copy(state, config, formats::read_all(source.weights), subject); },
             target.kind());
}

namespace {

std::pair<const models::DitConfig*, const models::PixArt*> kinds_of(const models::Transformer& target,
                                                                    const OfficialWeights& source,
                                                                    const std::string& subject) {
  const auto* config = std::get_if<models::DitConfig>(&source.identity.architecture);
  const auto* pixart = std::get_if<models::PixArt>(&target.model());
  if (config == nullptr || pixart == nullptr)
    throw UserError(fmt::format("{} is not a DiT; only a DiT can be re-parameterised.", subject));
  return {config, pixart};
}

}  // namespace

ReparameterizedInto reparameterize_into(nn::StateDict& state, const models::Transformer& target,
                                        const OfficialWeights& source, const ReparameterizeOptions& options,
                                        const std::string& subject) {
  at::NoGradGuard no_grad;
  const auto [config, pixart] = kinds_of(target, source, subject);
  nn::StateDict source_state({.dtype = at::kFloat, .device = state.options().device});
  const models::Dit dit(nn::Scope(source_state), *config);
  nn::load_state(source_state, formats::read_all(source.weights), subject);
  ReparameterizedInto result;
  result.plan = reparameterize(source_state, *config, state, pixart->config(), options);
  result.proof = prove_reparameterization(dit, *pixart, state);
  require_proof(result.proof, subject);
  return result;
}

void check_reparameterize_into(const nn::StateDict& state, const models::Transformer& target,
                               const OfficialWeights& source, const ReparameterizeOptions& options,
                               const std::string& subject) {
  at::NoGradGuard no_grad;
  const auto [config, pixart] = kinds_of(target, source, subject);
  nn::StateDict source_state({.dtype = at::kFloat, .device = at::kMeta});
  const models::Dit dit(nn::Scope(source_state), *config);
  nn::load_state(source_state, formats::read_all(formats::shapes_only(source.weights)), subject);
  check_reparameterization(source_state, *config, state, pixart->config(), options);
}

}  // namespace pixart::convert
