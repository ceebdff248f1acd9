#include "pixart/convert/initial_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/models/alignment.h"
#include "pixart/nn/lora.h"

namespace pixart::convert {

namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Notes = std::vector<std::string>;

constexpr const char* kInitialNullCaption = "y_embedder.y_embedding";
constexpr const char* kInitialPositions = "pos_embed";
constexpr const char* kMicroConditionNames[] = {"csize_embedder.", "ar_embedder."};

// A longer null caption keeps its own rows after those of the source.
void extend_null_caption(const nn::StateDict& state, Tensors& weights, Notes& notes) {
  const auto found = weights.find(kInitialNullCaption);
  const at::Tensor own = state.get(kInitialNullCaption);
  if (found == weights.end() || found->second.dim() != 2 || found->second.size(1) != own.size(1)) return;
  const int64_t rows = found->second.size(0), all = own.size(0);
  if (rows >= all) return;
  found->second = at::cat({found->second.to(own.options()), own.narrow(0, rows, all - rows)});
  notes.push_back(fmt::format("{}: rows 0 to {} are copied, rows {} to {} are new", kInitialNullCaption,
                              rows - 1, rows, all - 1));
}

// PixArt-Sigma continues from PixArt-alpha without its conditions of size and aspect ratio.
void leave_out_micro_conditions(const models::PixArtConfig& config, Tensors& weights, Notes& notes) {
  if (config.micro_conditions || !models::is_sigma(config)) return;
  const size_t left_out = std::erase_if(weights, [](const auto& item) {
    return std::any_of(std::begin(kMicroConditionNames), std::end(kMicroConditionNames),
                       [&](const char* prefix) { return item.first.starts_with(prefix); });
  });
  if (left_out > 0)
    notes.push_back(
        fmt::format("{} tensors of micro-conditions (csize_embedder, ar_embedder) are left out", left_out));
}

// The weights of compressed keys, of the blocks for which the source has none of them.
std::vector<std::string> new_compression(const models::PixArtConfig& config, const Tensors& weights) {
  std::vector<std::string> result;
  if (!config.kv_compression.has_weights()) return result;
  for (const int64_t layer : config.kv_compression.layers) {
    std::vector<std::string> names;
    for (const char* name : {"sr.weight", "sr.bias", "norm.weight", "norm.bias"})
      names.push_back(fmt::format("blocks.{}.attn.{}", layer, name));
    if (std::none_of(names.begin(), names.end(), [&](const auto& name) { return weights.contains(name); }))
      result.insert(result.end(), names.begin(), names.end());
  }
  return result;
}

std::string text_of(const models::KvCompression& compression) {
  if (!compression.is_on()) return "none";
  std::vector<std::string> layers;
  for (const int64_t layer : compression.layers) layers.push_back(std::to_string(layer));
  return fmt::format("{}, factor {}, blocks {}", word_of(compression.sampling), compression.factor,
                     join(layers, " "));
}

void note_compression(const models::PixArtConfig& config, const OfficialWeights& source, Notes& notes) {
  const auto* from = std::get_if<models::PixArtConfig>(&source.identity.architecture);
  if (from != nullptr && from->kv_compression != config.kv_compression)
    notes.push_back(fmt::format("kv_compression: {} in place of {}", text_of(config.kv_compression),
                                text_of(from->kv_compression)));
}

// The names of control blocks of which the source has nothing.
std::vector<std::string> new_control(const models::PixArtConfig& config, const nn::StateDict& state,
                                     const Tensors& weights) {
  std::vector<std::string> result;
  for (int64_t i = 0; i < config.control_blocks; ++i) {
    const std::string prefix = fmt::format("{}{}.", models::kControlPrefix, i);
    const auto next = weights.lower_bound(prefix);
    if (next != weights.end() && next->first.starts_with(prefix)) continue;
    for (const auto& item : state.items())
      if (item.name.starts_with(prefix)) result.push_back(item.name);
  }
  return result;
}

// New control blocks begin as the blocks that they copy, and their linear layers as zero. A model without control leaves
// those of the source out.
void begin_control(const nn::StateDict& state, const models::PixArtConfig& config, Tensors& weights,
                   Notes& notes) {
  if (config.control_blocks == 0) {
    const size_t left_out =
        std::erase_if(weights, [](const auto& item) { return models::is_control_name(item.first); });
    if (left_out > 0) notes.push_back(fmt::format("{} tensors of a ControlNet are left out", left_out));
    return;
  }
  const auto begun = new_control(config, state, weights);
  for (const auto& name : begun) {
    const std::string source = models::copied_from(name);
    if (source.empty())
      weights[name] = at::zeros_like(state.get(name));
    else if (const auto found = weights.find(source); found != weights.end())
      weights[name] = found->second;
  }
  if (!begun.empty())
    notes.push_back(
        fmt::format("{} tensors of the ControlNet begin as copies of the blocks, or as zero", begun.size()));
}

// The tensors that are trained in addition to a model: no source has them.
std::vector<std::string> additional_names(const nn::StateDict& state) {
  auto names = nn::lora_names(state);
  for (const auto& item : state.items())
    if (models::is_alignment_name(item.name)) names.push_back(item.name);
  return names;
}

Notes copy(nn::StateDict& state, const models::DitConfig&, const OfficialWeights& source,
           const std::string& subject) {
  nn::load_state(state, formats::read_all(source.weights), subject,
                 {.may_be_missing = additional_names(state), .may_be_unexpected = {}});
  return {};
}

Notes copy(nn::StateDict& state, const models::PixArtConfig& config, const OfficialWeights& source,
           const std::string& subject) {
  Notes notes;
  Tensors weights = formats::read_all(source.weights);
  weights.erase(kInitialPositions);
  note_compression(config, source, notes);
  extend_null_caption(state, weights, notes);
  leave_out_micro_conditions(config, weights, notes);
  begin_control(state, config, weights, notes);
  const auto adapters = nn::lora_names(state), additional = additional_names(state);
  auto may_be_missing = additional;
  for (const char* name : {kInitialPositions, kInitialNullCaption}) may_be_missing.emplace_back(name);
  if (adapters.empty()) {  // new tensors must be trained
    for (const std::string prefix : kMicroConditionNames) may_be_missing.push_back(prefix + "*");
    for (auto& name : new_compression(config, weights)) may_be_missing.push_back(std::move(name));
  }
  nn::load_state(state, weights, subject, {.may_be_missing = may_be_missing, .may_be_unexpected = {}});
  std::vector<std::string> fresh;
  for (const auto& item : state.items())
    if (item.name != kInitialPositions && !weights.contains(item.name) && !contains(additional, item.name))
      fresh.push_back(item.name);
  if (!fresh.empty()) notes.push_back(fmt::format("{} tensors are new: {}", fresh.size(), name_some(fresh)));
  return notes;
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

std::vector<std::string> copy_into(nn::StateDict& state, const models::TransformerConfig& target,
                                   const OfficialWeights& source, const std::string& subject) {
  at::NoGradGuard no_grad;
  return std::visit([&](const auto& config) { return copy(state, config, source, subject); }, target.kind());
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
