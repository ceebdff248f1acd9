#include "lora_names.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "lora_config.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/convert/provenance.h"
#include "provenance_keys.h"

namespace pixart::convert {
using formats::Weights;

namespace {

// What follows the name of the layer. In PEFT's names the name of the adapter may follow, then "weight".
struct Mark {
  std::string_view text;
  LoraPart part;
};
constexpr Mark kPartMarks[] = {{".lora_A.", LoraPart::kA},
                               {".lora_B.", LoraPart::kB},
                               {".lora.down.", LoraPart::kA},
                               {".lora.up.", LoraPart::kB},
                               {".lora_down.", LoraPart::kA},
                               {".lora_up.", LoraPart::kB},
                               {"_lora.down.", LoraPart::kA},
                               {"_lora.up.", LoraPart::kB},
                               {".lora_linear_layer.down.", LoraPart::kA},
                               {".lora_linear_layer.up.", LoraPart::kB}};

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

// Several programs wrap names that are wrapped already ("unet.base_model.model.").
std::string without_prefixes(std::string module) {
  static constexpr std::string_view kPrefixes[] = {
      kPeftPrefix, "transformer.", "unet.", "diffusion_model.", "model.", "module.", "_orig_mod."};
  static constexpr std::string_view kFlatPrefixes[] = {"lora_transformer_", "lora_unet_", "lycoris_"};
  const auto erase_one = [&](const auto& prefixes) {
    for (const std::string_view prefix : prefixes)
      if (module.starts_with(prefix)) return module.erase(0, prefix.size()), true;
    return false;
  };
  while (erase_one(kPrefixes)) {
  }
  if (module.find('.') == std::string::npos) erase_one(kFlatPrefixes);
  return module;
}

// "attn1.processor.to_q_lora.down" of diffusers' attention processors is the layer attn1.to_q.
void undo_processor(std::string& module) {
  if (module.find(".processor.") == std::string::npos) return;
  replace(module, ".processor.", ".");
  if (module.ends_with(".to_out")) module += ".0";
}

struct Found {
  std::string a, b, alpha;  // names of tensors
};

// One row for each output of A or B: a matrix, or a convolution.
bool read_part(const std::string& name, const Weights& weights, bool is_b, at::Tensor& part,
               std::vector<int64_t>& kernel) {
  const auto& shape = weights.tensors.at(name).shape;
  const bool is_point = std::all_of(shape.begin() + std::min<int64_t>(2, int64_t(shape.size())), shape.end(),
                                    [](int64_t side) { return side == 1; });
  if ((shape.size() != 2 && shape.size() != 4) || (is_b && !is_point)) return false;
  part = weights.read(name).to(at::kFloat).flatten(1);
  kernel = is_point ? std::vector{shape[1]} : std::vector(shape.begin() + 1, shape.end());
  return true;
}

LoraLayer layer_of(const std::string& module, const Found& found, const Weights& weights,
                   const LoraRules& rules, Problems& problems) {
  LoraLayer layer;
  std::vector<int64_t> point;
  for (const bool is_b : {false, true}) {
    const std::string& name = is_b ? found.b : found.a;
    if (name.empty())
      problems.add(fmt::format("missing: {} of {}", is_b ? "lora_B" : "lora_A", module));
    else if (!read_part(name, weights, is_b, is_b ? layer.b : layer.a, is_b ? point : layer.kernel))
      problems.add(
          fmt::format("{} has the shape [{}]; expected a matrix, or a convolution whose lora_B is 1 "
                      "x 1",
                      name, fmt::join(weights.tensors.at(name).shape, ", ")));
  }
  if (!layer.a.defined() || !layer.b.defined()) return layer;
  if (layer.a.size(0) != layer.b.size(1) || layer.a.size(0) == 0)
    problems.add(
        fmt::format("{}: rank {} in lora_A, {} in lora_B", module, layer.a.size(0), layer.b.size(1)));
  const double rank = double(std::max<int64_t>(1, layer.a.size(0)));
  if (const auto stated = rules.rank.of(module); stated && *stated != rank)
    problems.add(fmt::format("{}: rank {} in the file, {} in {}, which belongs to other adapters", module,
                             rank, *stated, rules.source));
  auto alpha = rules.alpha.of(module);
  if (!found.alpha.empty() && weights.tensors.at(found.alpha).numel() == 1)
    alpha = weights.read(found.alpha).item().toDouble();
  layer.scale = alpha.value_or(rank) / (rules.by_root ? std::sqrt(rank) : rank);
  if (!std::isfinite(layer.scale)) problems.add(fmt::format("{}: alpha is {}", module, *alpha));
  return layer;
}

// VeLoRA's projection compresses the inputs that the backward pass needs.
bool is_of_training_alone(const std::string& name) {
  return name.find(".lora_velora_embed") != std::string::npos;
}

std::map<std::string, Found> find_parts(const Weights& weights, Problems& problems) {
  std::map<std::string, Found> found;
  for (const auto& [name, info] : weights.tensors) {
    const auto parsed = parse_lora_name(name);
    if (!parsed) continue;
    auto& layer = found[parsed->module];
    std::string& part = parsed->part == LoraPart::kA   ? layer.a
                        : parsed->part == LoraPart::kB ? layer.b
                                                       : layer.alpha;
    if (!part.empty()) problems.add(fmt::format("{} and {} are the same part of an adapter", part, name));
    part = name;
  }
  return found;
}

}  // namespace

std::optional<LoraName> parse_lora_name(const std::string& name) {
  constexpr std::string_view kAlpha = ".alpha", kWeight = "weight";
  if (name.ends_with(kAlpha))
    return LoraName{without_prefixes(name.substr(0, name.size() - kAlpha.size())), LoraPart::kAlpha};
  for (const auto& mark : kPartMarks) {
    const size_t at = name.rfind(mark.text);
    if (at == std::string::npos) continue;
    std::string_view rest = std::string_view(name).substr(at + mark.text.size());
    if (!rest.ends_with(kWeight)) return std::nullopt;
    rest.remove_suffix(kWeight.size());
    const bool is_peft = mark.text == ".lora_A." || mark.text == ".lora_B.";
    const bool is_named = is_peft && rest.size() > 1 && rest.find('.') == rest.size() - 1;
    if (!rest.empty() && !is_named) return std::nullopt;
    std::string module = without_prefixes(name.substr(0, at));
    undo_processor(module);
    return LoraName{std::move(module), mark.part};
  }
  return std::nullopt;
}

bool holds_lora(const Weights& weights) {
  return std::any_of(weights.tensors.begin(), weights.tensors.end(), [](const auto& item) {
    const auto name = parse_lora_name(item.first);
    return name && name->part != LoraPart::kAlpha;
  });
}

std::string describe_lora(const Weights& weights) {
  std::set<int64_t> ranks;
  int64_t layers = 0;
  for (const auto& [name, info] : weights.tensors) {
    const auto parsed = parse_lora_name(name);
    if (!parsed || parsed->part != LoraPart::kA || info.shape.empty()) continue;
    ranks.insert(info.shape[0]);
    ++layers;
  }
  std::string text = "LoRA";
  if (ranks.size() == 1) text += fmt::format(" of rank {}", *ranks.begin());
  if (ranks.size() > 1) text += fmt::format(" of ranks {} to {}", *ranks.begin(), *ranks.rbegin());
  Problems ignored;
  if (const auto alpha = read_lora_rules(weights, ignored).alpha.usual)
    text += fmt::format(", alpha {}", *alpha);
  return text + fmt::format(", for {} layers", layers);
}

LoraAdapters take_lora(Weights& weights, const std::string& subject) {
  LoraAdapters result{.files = weights.files, .license = license_of(weights, Layout::kLora)};
  Problems problems;
  const auto found = find_parts(weights, problems);
  const LoraRules rules = read_lora_rules(weights, problems);
  result.start = rules.start;
  result.process = process_in(weights.metadata, subject);
  bool is_alpha_known = true;
  std::vector<std::string> untargeted;
  for (const auto& [module, parts] : found) {
    result.layers.emplace(module, layer_of(module, parts, weights, rules, problems));
    is_alpha_known = is_alpha_known && (rules.alpha.of(module) || !parts.alpha.empty());
    if (!rules.targets_layer(module)) untargeted.push_back(module);
    for (const auto& name : {parts.a, parts.b, parts.alpha}) weights.tensors.erase(name);
  }
  std::erase_if(weights.tensors, [](const auto& item) { return is_of_training_alone(item.first); });
  if (!is_alpha_known)
    result.notes.emplace_back("assumed: alpha equals the rank, because the file does not state it");
  if (!untargeted.empty())
    result.notes.push_back(
        fmt::format("target_modules of {} does not name these layers, so PEFT would leave "
                    "them out: {}",
                    rules.source, name_some(untargeted)));
  problems.throw_if_any(subject);
  return result;
}

formats::Metadata lora_metadata(int64_t rank, double alpha) {
  return {{kLoraKey, nlohmann::ordered_json{{"rank", rank}, {"alpha", alpha}}.dump()}};
}

}  // namespace pixart::convert
