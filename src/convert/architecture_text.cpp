#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/convert/layout.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::convert {
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr int64_t kLargest = int64_t{1} << 24;

// Visits the members, for both directions: `each(name, member)`.
constexpr const char* kHasNullClass = "has_null_class";  // only written if it is false

constexpr const char* kQkNorm = "qk_norm";  // only written if it is true
// Only written if it is not the value of multi_scale, and if there is a compression.
constexpr const char *kMicroConditions = "micro_conditions", *kKvCompression = "kv_compression";
constexpr const char* kControlBlocks = "control_blocks";  // only written if there are some

template <class Config, class Each>
void common_fields(Config& c, Each&& each) {
  each("input_size", c.input_size);
  each("patch_size", c.patch_size);
  each("in_channels", c.in_channels);
  each("hidden_size", c.hidden_size);
  each("depth", c.depth);
  each("num_heads", c.num_heads);
  each("mlp_ratio", c.mlp_ratio);
  each("learn_sigma", c.learn_sigma);
}

template <class Config, class Each>
void fields(Config& c, Each&& each) {
  common_fields(c, each);
  if constexpr (requires { c.num_classes; }) {
    each("num_classes", c.num_classes);
  } else {
    each("caption_channels", c.caption_channels);
    each("max_tokens", c.max_tokens);
    each("position_scale", c.position_scale);
    each("multi_scale", c.multi_scale);
  }
}

void write_options(const models::PixArtConfig& c, ordered_json& target) {
  if (c.micro_conditions != c.multi_scale) target[kMicroConditions] = c.micro_conditions;
  if (c.kv_compression.is_on())
    target[kKvCompression] = formats::parse_ordered(models::kv_compression_text(c.kv_compression));
  if (c.control_blocks > 0) target[kControlBlocks] = c.control_blocks;
}

void parse_options(const json& source, const std::string& subject, models::PixArtConfig& c) {
  c.micro_conditions = c.multi_scale;
  if (source.contains(kMicroConditions)) c.micro_conditions = source[kMicroConditions] == true;
  if (source.contains(kKvCompression))
    c.kv_compression = models::parse_kv_compression(
        source[kKvCompression].dump(), fmt::format("{}: its architecture: {}", subject, kKvCompression));
  if (!source.contains(kControlBlocks)) return;
  const auto& blocks = source[kControlBlocks];
  if (!blocks.is_number_integer() || blocks.get<int64_t>() < 0 || blocks.get<int64_t>() > kLargest)
    throw UserError(
        fmt::format("{}: its architecture: '{}' is not a number of blocks.", subject, kControlBlocks));
  c.control_blocks = blocks.get<int64_t>();
}

template <class Config>
std::string text_of(const char* name, const Config& config) {
  ordered_json result = {{"name", name}};
  fields(config, [&](const char* key, const auto& value) { result[key] = value; });
  if constexpr (requires { config.num_classes; })
    if (!config.has_null_class) result[kHasNullClass] = false;
  if constexpr (requires { config.micro_conditions; }) write_options(config, result);
  if (config.qk_norm) result[kQkNorm] = true;
  return result.dump();
}

template <class Config>
Config parse(const json& source, const std::string& subject) {
  Config config;
  Problems problems;
  fields(config, [&](const char* key, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    const bool good = source.contains(key) &&
                      (std::is_same_v<Value, bool> ? source[key].is_boolean()
                       : std::is_same_v<Value, double>
                           ? source[key].is_number() && source[key].template get<double>() > 0
                           : source[key].is_number_integer() && source[key].template get<int64_t>() > 0 &&
                                 source[key].template get<int64_t>() <= kLargest);
    if (good)
      value = source[key].template get<Value>();
    else
      problems.add(fmt::format("'{}' is missing or of another type", key));
  });
  problems.throw_if_any(subject + ": its architecture");
  if constexpr (requires { config.num_classes; })
    config.has_null_class = !source.contains(kHasNullClass) || source[kHasNullClass] != false;
  if constexpr (requires { config.micro_conditions; }) parse_options(source, subject, config);
  config.qk_norm = source.contains(kQkNorm) && source[kQkNorm] == true;
  return config;
}

}  // namespace

std::string architecture_text(const Architecture& architecture) {
  if (const auto* dit = std::get_if<models::DitConfig>(&architecture)) return text_of("DiT", *dit);
  if (const auto* pixart = std::get_if<models::PixArtConfig>(&architecture))
    return text_of(pixart->multi_scale ? "PixArtMS" : "PixArt", *pixart);
  return "";
}

Architecture parse_architecture(const std::string& text, const std::string& subject) {
  const json source = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const std::string name = source.is_object() && source.contains("name") && source["name"].is_string()
                               ? source["name"].get<std::string>()
                               : "";
  if (name == "DiT") return parse<models::DitConfig>(source, subject);
  if (name == "PixArt" || name == "PixArtMS") return parse<models::PixArtConfig>(source, subject);
  throw UserError(fmt::format("{}: its metadata has no known architecture.", subject));
}

}  // namespace pixart::convert
