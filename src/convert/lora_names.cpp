#include "lora_names.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/convert/provenance.h"
#include "provenance_keys.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using formats::Weights;
using json = nlohmann::ordered_json;

namespace {

enum class Part { kA, kB, kAlpha };

struct LoraName {
  std::string module;
  Part part;
};

// PEFT's names, PEFT's names with the name of the adapter in them, and diffusers' names before PEFT.
std::optional<LoraName> parse(const std::string& name) {
  static const std::vector<std::pair<std::string, Part>> ends = {
      {".lora_A.weight", Part::kA}, {".lora_A.default.weight", Part::kA}, {".lora.down.weight", Part::kA},
      {".lora_B.weight", Part::kB}, {".lora_B.default.weight", Part::kB}, {".lora.up.weight", Part::kB},
      {".alpha", Part::kAlpha}};
  for (const auto& [end, part] : ends) {
    if (!name.ends_with(end)) continue;
    std::string module = name.substr(0, name.size() - end.size());
    for (const std::string prefix : {kPeftPrefix, kDiffusersPrefix, "unet."})
      if (module.starts_with(prefix)) module.erase(0, prefix.size());
    return LoraName{module, part};
  }
  return std::nullopt;
}

// The facts about alpha: one number, numbers for some layers, and how it is divided.
struct Scaling {
  std::optional<double> alpha;
  std::vector<std::pair<std::regex, double>> patterns = {};  // of whole names; the first match is used
  bool by_root = false;                                      // rank-stabilised: alpha / sqrt(rank)

  std::optional<double> alpha_of(const std::string& module) const {
    for (const auto& [pattern, value] : patterns)
      if (std::regex_match(module, pattern)) return value;
    return alpha;
  }
};

// Reads a configuration of PEFT. `prefix`: of its keys, in diffusers' files.
Scaling read_peft_config(const json& config, const std::string& prefix, Problems& problems) {
  Scaling scaling;
  const auto key = [&](const char* name) {
    const auto found = config.find(prefix + name);
    return found != config.end() && !found->is_null() ? *found : json();
  };
  const auto flag = [&](const char* name) { return key(name).is_boolean() && key(name).get<bool>(); };
  if (key("lora_alpha").is_number()) scaling.alpha = key("lora_alpha").get<double>();
  if (const json patterns = key("alpha_pattern"); patterns.is_object()) {
    for (const auto& [pattern, value] : patterns.items()) {
      if (!value.is_number()) continue;
      try {  // PEFT matches the name or an end of it
        scaling.patterns.emplace_back(std::regex("(.*\\.)?(" + pattern + ")"), value.get<double>());
      } catch (const std::regex_error&) {
        problems.add(fmt::format("alpha_pattern '{}' is not a regular expression", pattern));
      }
    }
  }
  scaling.by_root = flag("use_rslora");
  if (flag("use_dora")) problems.add("DoRA (use_dora) is not supported");
  return scaling;
}

Scaling read_scaling(const Weights& weights, Problems& problems) {
  try {
    if (const auto own = weights.metadata.find(kLoraKey); own != weights.metadata.end())
      return {.alpha = json::parse(own->second).at("alpha").get<double>()};
    if (const auto diffusers = weights.metadata.find(kLoraMetadataKey); diffusers != weights.metadata.end()) {
      const json config = json::parse(diffusers->second);
      for (const char* prefix : {kDiffusersPrefix, "unet.", ""})
        if (config.contains(prefix + std::string("lora_alpha")))
          return read_peft_config(config, prefix, problems);
    }
    const fs::path beside =
        weights.files.empty() ? fs::path() : weights.files[0].parent_path() / kPeftConfigName;
    if (!beside.empty() && fs::exists(beside))
      return read_peft_config(json::parse(read_file(beside)), "", problems);
  } catch (const json::exception& error) {
    problems.add(fmt::format("its values of alpha cannot be read: {}", error.what()));
  }
  return {};
}

struct Found {
  std::string a, b, alpha;  // names of tensors
};

LoraLayer layer_of(const std::string& module, const Found& found, const Weights& weights, Scaling& scaling,
                   Problems& problems) {
  LoraLayer layer;
  for (const auto& [name, what] : {std::pair{found.a, "lora_A"}, std::pair{found.b, "lora_B"}}) {
    if (name.empty())
      problems.add(fmt::format("missing: {} of {}", what, module));
    else if (weights.tensors.at(name).shape.size() != 2)
      problems.add(fmt::format("{} is not a matrix; adapters of convolutions are not supported", name));
    else
      (name == found.a ? layer.a : layer.b) = weights.read(name).to(at::kFloat);
  }
  if (!layer.a.defined() || !layer.b.defined()) return layer;
  if (layer.a.size(0) != layer.b.size(1) || layer.a.size(0) == 0)
    problems.add(
        fmt::format("{}: rank {} in lora_A, {} in lora_B", module, layer.a.size(0), layer.b.size(1)));
  const double rank = double(std::max<int64_t>(1, layer.a.size(0)));
  auto alpha = scaling.alpha_of(module);
  if (!found.alpha.empty() && weights.tensors.at(found.alpha).numel() == 1)
    alpha = weights.read(found.alpha).item<double>();
  layer.scale = alpha.value_or(rank) / (scaling.by_root ? std::sqrt(rank) : rank);
  if (!std::isfinite(layer.scale)) problems.add(fmt::format("{}: alpha is {}", module, *alpha));
  return layer;
}

}  // namespace

bool holds_lora(const Weights& weights) {
  return std::any_of(weights.tensors.begin(), weights.tensors.end(), [](const auto& item) {
    const auto name = parse(item.first);
    return name && name->part != Part::kAlpha;
  });
}

std::string describe_lora(const Weights& weights) {
  std::set<int64_t> ranks;
  int64_t layers = 0;
  for (const auto& [name, info] : weights.tensors) {
    const auto parsed = parse(name);
    if (!parsed || parsed->part != Part::kA || info.shape.empty()) continue;
    ranks.insert(info.shape[0]);
    ++layers;
  }
  std::string text = "LoRA";
  if (ranks.size() == 1) text += fmt::format(" of rank {}", *ranks.begin());
  if (ranks.size() > 1) text += fmt::format(" of ranks {} to {}", *ranks.begin(), *ranks.rbegin());
  Problems ignored;
  if (const auto alpha = read_scaling(weights, ignored).alpha) text += fmt::format(", alpha {}", *alpha);
  return text + fmt::format(", for {} layers", layers);
}

LoraAdapters take_lora(Weights& weights, const std::string& subject) {
  LoraAdapters result{.files = weights.files, .license = license_of(weights, Layout::kLora)};
  std::map<std::string, Found> found;
  Problems problems;
  for (const auto& [name, info] : weights.tensors) {
    const auto parsed = parse(name);
    if (!parsed) continue;
    auto& layer = found[parsed->module];
    std::string& part = parsed->part == Part::kA ? layer.a : parsed->part == Part::kB ? layer.b : layer.alpha;
    if (!part.empty()) problems.add(fmt::format("{} and {} are the same part of an adapter", part, name));
    part = name;
  }
  Scaling scaling = read_scaling(weights, problems);
  bool is_alpha_known = true;
  for (const auto& [module, parts] : found) {
    result.layers.emplace(module, layer_of(module, parts, weights, scaling, problems));
    is_alpha_known = is_alpha_known && (scaling.alpha_of(module) || !parts.alpha.empty());
    for (const auto& name : {parts.a, parts.b, parts.alpha}) weights.tensors.erase(name);
  }
  if (!is_alpha_known)
    result.notes.emplace_back("assumed: alpha equals the rank, because the file does not state it");
  problems.throw_if_any(subject);
  return result;
}

formats::Metadata lora_metadata(int64_t rank, double alpha) {
  return {{kLoraKey, json{{"rank", rank}, {"alpha", alpha}}.dump()}};
}

}  // namespace pixart::convert
