#include "lora_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "lora_names.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/formats/bounded_json.h"
#include "provenance_keys.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr uint64_t kLargestPeftConfig = uint64_t{16} << 20;
constexpr formats::JsonLimits kPeftLimits = {.keys = 10'000};  // patterns may name each layer
constexpr std::array<std::string_view, 2> kUnset = {"", "none"};

// The keys of a configuration. `prefix`: in diffusers' metadata they begin with the name of the model.
struct PeftConfig {
  const ordered_json& all;
  std::string prefix, source;
  Problems& problems;

  ordered_json key(const char* name) const {
    const auto found = all.find(prefix + name);
    return found != all.end() ? *found : ordered_json();
  }
  // Neither absent nor null, false, empty or "none".
  bool is_set(const char* name) const {
    const ordered_json value = key(name);
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_string()) return !contains(kUnset, value.get<std::string>());
    return !value.empty();
  }
  // `before` is a part of every pattern of `name`; the message is about `pattern` alone.
  std::optional<text::NamePattern> compiled(const char* name, const std::string& pattern,
                                            const std::string& before = "") const {
    try {
      const text::NamePattern alone(pattern);
      return before.empty() ? alone : text::NamePattern(before + "(?:" + pattern + ")");
    } catch (const UserError& error) {
      problems.add(fmt::format("{} {}", name, error.what()));
      return std::nullopt;
    }
  }
};

constexpr const char* kAnyBegin = "(?:.*\\.)?";  // PEFT compares patterns with ends of names

NumberOfLayers read_numbers(const PeftConfig& config, const char* usual, const char* patterns) {
  NumberOfLayers numbers;
  if (config.key(usual).is_number()) numbers.usual = config.key(usual).get<double>();
  const ordered_json by_name = config.key(patterns);
  if (!by_name.is_object()) return numbers;
  for (const auto& [pattern, value] : by_name.items()) {
    if (!value.is_number()) {
      config.problems.add(fmt::format("{} '{}' is not a number", patterns, pattern));
    } else if (auto compiled = config.compiled(patterns, pattern, kAnyBegin)) {
      numbers.patterns.emplace_back(std::move(*compiled), value.get<double>());
    }
  }
  return numbers;
}

std::string quoted(const std::string& name) {
  std::string result;
  for (const char c : name)
    result += std::isalnum(uint8_t(c)) != 0 || c == '_' ? std::string(1, c) : std::string({'\\', c});
  return result;
}

// A regular expression, or a list of names and ends of names.
std::vector<text::NamePattern> read_targets(const PeftConfig& config) {
  std::vector<text::NamePattern> targets;
  const ordered_json value = config.key("target_modules");
  const auto add = [&](const std::string& text, const char* before) {
    if (auto pattern = config.compiled("target_modules", text, before))
      targets.push_back(std::move(*pattern));
  };
  if (value.is_string() && value != "all-linear") add(value.get<std::string>(), "");
  if (!value.is_array()) return targets;
  for (const auto& name : value)
    if (name.is_string()) add(quoted(name.get<std::string>()), kAnyBegin);
  return targets;
}

LoraStart read_start(const PeftConfig& config) {
  const ordered_json value = config.key("init_lora_weights");
  if (!value.is_string()) return LoraStart::kZero;
  const std::string how = value.get<std::string>();
  const std::string word = ascii_lower(how);  // PEFT takes "OLoRA" for "olora"
  static const std::set<std::string> unchanged = {"gaussian", "eva", "orthogonal", "mica", "true",
                                                  "false",    ""};
  if (unchanged.count(word) > 0) return LoraStart::kZero;
  if (word == "pissa") return LoraStart::kPissa;
  if (word == "olora") return LoraStart::kOlora;
  config.problems.add(fmt::format(
      "init_lora_weights is \"{}\": the training replaced a part of the base weights that the adapters do "
      "not tell. Save them again with PEFT, save_pretrained(..., path_initial_model_for_weight_conversion="
      "...), or merge them with PEFT, merge_and_unload(), and convert the result",
      how));
  return LoraStart::kZero;
}

// Adapters that are more than W + scale B A.
void refuse_other_kinds(const PeftConfig& config) {
  static const std::pair<const char*, const char*> kinds[] = {
      {"use_dora", "DoRA"},
      {"use_qalora", "QA-LoRA"},
      {"use_bdlora", "BD-LoRA"},
      {"kasa_config", "KaSA"},
      {"arrow_config", "Arrow"},
      {"monteclora_config", "MonteCLoRA"},
      {"alora_invocation_tokens", "Activated LoRA"},
      {"layer_replication", "replicated layers"},
      {"target_parameters", "adapters of parameters"}};
  for (const auto& [key, name] : kinds)
    if (config.is_set(key))
      config.problems.add(
          fmt::format("{} ({}) is not supported; merge it with PEFT, merge_and_unload()", name, key));
  const ordered_json type = config.key("peft_type");
  if (type.is_string() && type != "LORA")
    config.problems.add(
        fmt::format("peft_type is {}; only LORA is supported. Merge it with PEFT, "
                    "merge_and_unload()",
                    type.get<std::string>()));
}

LoraRules read_peft_config(const ordered_json& all, const std::string& prefix, const std::string& source,
                           Problems& problems) {
  const PeftConfig config{all, prefix, source, problems};
  refuse_other_kinds(config);
  return {.source = source,
          .alpha = read_numbers(config, "lora_alpha", "alpha_pattern"),
          .rank = read_numbers(config, "r", "rank_pattern"),
          .by_root = config.is_set("use_rslora"),
          .start = read_start(config),
          .targets = read_targets(config)};
}

fs::path config_file(const formats::Weights& weights) {
  if (weights.files.empty()) return {};
  const fs::path file = fs::absolute(weights.files[0]), folder = file.parent_path();
  if (fs::exists(folder / kPeftConfigName)) return folder / kPeftConfigName;
  const fs::path above = folder.parent_path() / kPeftConfigName;
  const bool is_of_diffusers = file.filename().string().starts_with("pytorch_lora_weights.");
  return is_of_diffusers && fs::exists(above) ? above : fs::path();
}

}  // namespace

std::optional<double> NumberOfLayers::of(const std::string& module) const {
  for (const auto& [pattern, value] : patterns)
    if (pattern.matches(module)) return value;
  return usual;
}

bool LoraRules::targets_layer(const std::string& module) const {
  return targets.empty() || std::any_of(targets.begin(), targets.end(),
                                        [&](const auto& pattern) { return pattern.matches(module); });
}

LoraRules read_lora_rules(const formats::Weights& weights, Problems& problems) {
  std::string source = "its metadata";
  const auto add_unreadable = [&](const std::exception& error) {
    problems.add(fmt::format("alpha cannot be read from {}: {}", source, error.what()));
  };
  try {
    if (const auto own = weights.metadata.find(kLoraKey); own != weights.metadata.end())
      return {.source = source,
              .alpha = {.usual = formats::parse_ordered(own->second).at("alpha").get<double>()}};
    if (const auto diffusers = weights.metadata.find(kLoraMetadataKey); diffusers != weights.metadata.end()) {
      const ordered_json config = formats::parse_ordered(diffusers->second, kPeftLimits);
      for (const char* prefix : {kDiffusersPrefix, "unet.", kPeftPrefix, ""})
        if (config.contains(prefix + std::string("lora_alpha")))
          return read_peft_config(config, prefix, source, problems);
    }
    if (const fs::path file = config_file(weights); !file.empty()) {
      source = file.string();
      const std::string text = read_file(file, kLargestPeftConfig);
      return read_peft_config(formats::parse_ordered(text, kPeftLimits), "", source, problems);
    }
  } catch (const formats::BadJson& error) {
    add_unreadable(error);
  } catch (const ordered_json::exception& error) {
    add_unreadable(error);
  }
  return {};
}

}  // namespace pixart::convert
