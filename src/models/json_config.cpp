#include "json_config.h"

#include <cmath>

#include "pixart/base/file.h"

namespace pixart::models {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLimitBytes = uint64_t{1} << 20;
constexpr int64_t kLargestCount = int64_t{1} << 24;  // no layer is larger, and products must not overflow

bool is_count(const json& value) {
  return value.is_number_integer() && value.get<double>() >= 1 &&
         value.get<double>() <= double(kLargestCount);
}

bool is_finite(const json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

bool is_list_of(const json& value, bool (*good)(const json&)) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), good);
}

}  // namespace

JsonConfig::JsonConfig(fs::path path) : path_(std::move(path)) {
  json_ = json::parse(read_file(path_, kLimitBytes), nullptr, /*allow_exceptions=*/false);
  if (!json_.is_object())
    throw UserError(fmt::format("{} is not a JSON object; expected a model's config.json.", path_.string()));
}

int64_t JsonConfig::count(const std::string& key, std::optional<int64_t> fallback) {
  if (!has(key)) {
    if (!fallback) problems_.add(fmt::format("{} is missing; expected a whole number.", key));
    return fallback.value_or(1);
  }
  if (is_count(json_[key])) return json_[key].get<int64_t>();
  problems_.add(
      fmt::format("{} is {}; expected a whole number from 1 to {}.", key, json_[key].dump(), kLargestCount));
  return 1;
}

double JsonConfig::positive(const std::string& key, double fallback) {
  if (!has(key)) return fallback;
  if (is_finite(json_[key]) && json_[key].get<double>() > 0) return json_[key].get<double>();
  problems_.add(fmt::format("{} is {}; expected a number > 0.", key, json_[key].dump()));
  return fallback;
}

std::string JsonConfig::text(const std::string& key, const std::string& fallback) {
  if (!has(key)) return fallback;
  if (json_[key].is_string()) return json_[key].get<std::string>();
  problems_.add(fmt::format("{} is {}; expected a string.", key, json_[key].dump()));
  return fallback;
}

bool JsonConfig::flag(const std::string& key, bool fallback) {
  if (!has(key)) return fallback;
  if (json_[key].is_boolean()) return json_[key].get<bool>();
  problems_.add(fmt::format("{} is {}; expected true or false.", key, json_[key].dump()));
  return fallback;
}

std::vector<int64_t> JsonConfig::counts(const std::string& key) {
  if (has(key) && is_list_of(json_[key], is_count)) return json_[key].get<std::vector<int64_t>>();
  problems_.add(fmt::format("{} is {}; expected a list of whole numbers from 1 to {}.", key,
                            has(key) ? json_[key].dump() : "missing", kLargestCount));
  return {};
}

std::vector<double> JsonConfig::numbers(const std::string& key) {
  if (!has(key)) return {};
  if (is_list_of(json_[key], is_finite)) return json_[key].get<std::vector<double>>();
  problems_.add(fmt::format("{} is {}; expected a list of numbers.", key, json_[key].dump()));
  return {};
}

void JsonConfig::only(const std::string& key, const json& supported, bool absent_is_fine) {
  if (has(key) ? json_[key] == supported : absent_is_fine) return;
  problems_.add(fmt::format("{} is {}; only {} is supported.", key, has(key) ? json_[key].dump() : "missing",
                            supported.dump()));
}

void JsonConfig::finish() const { problems_.throw_if_any(path_.string()); }

void write_json(const fs::path& path, const nlohmann::ordered_json& json) {
  write_file_atomically(path, json.dump(2) + "\n");
}

}  // namespace pixart::models
