#include "json_config.h"

#include <cmath>

#include "pixart/base/file.h"

namespace pixart::models {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kDeepest = 32;
constexpr uint64_t kLimitBytes = uint64_t{1} << 20;

bool is_count_up_to(const json& value, int64_t most) {
  return value.is_number_integer() && value.get<double>() >= 1 && value.get<double>() <= double(most);
}

bool is_width(const json& value) { return is_count_up_to(value, kWidest); }

bool is_index(const json& value) {
  return value.is_number_integer() && value.get<double>() >= 0 && value.get<double>() < double(kMostBlocks);
}

bool is_finite(const json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

// The value as JSON, short enough for a message.
std::string shown(const json& value) {
  constexpr size_t kLongest = 200;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

bool is_list_of(const json& value, bool (*good)(const json&)) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), good);
}

json object_of(const std::string& text, const std::string& subject, const char* expected) {
  bool is_deep = false;  // the library writes and compares values by recursion
  const auto within_depth = [&](int depth, json::parse_event_t, json&) {
    is_deep = is_deep || depth > kDeepest;
    return !is_deep;
  };
  json object = json::parse(text, within_depth, /*allow_exceptions=*/false);
  if (is_deep)
    throw UserError(fmt::format("{}: lists or objects are nested more than {} deep.", subject, kDeepest));
  if (!object.is_object()) throw UserError(fmt::format("{} is not a JSON object{}.", subject, expected));
  return object;
}

}  // namespace

JsonConfig::JsonConfig(fs::path path)
    : path_(std::move(path)),
      json_(object_of(read_file(path_, kLimitBytes), path_.string(), "; expected a model's config.json")) {}

JsonConfig JsonConfig::of_text(const std::string& text, const std::string& subject) {
  return {subject, object_of(text, subject, "")};
}

int64_t JsonConfig::count(const std::string& key, std::optional<int64_t> fallback, int64_t most) {
  if (!has(key)) {
    if (!fallback) problems_.add(fmt::format("{} is missing; expected a whole number.", key));
    return fallback.value_or(1);
  }
  if (is_count_up_to(json_[key], most)) return json_[key].get<int64_t>();
  problems_.add(fmt::format("{} is {}; expected a whole number from 1 to {}.", key, shown(json_[key]), most));
  return 1;
}

double JsonConfig::positive(const std::string& key, double fallback) {
  if (!has(key)) return fallback;
  if (is_finite(json_[key]) && json_[key].get<double>() > 0) return json_[key].get<double>();
  problems_.add(fmt::format("{} is {}; expected a number > 0.", key, shown(json_[key])));
  return fallback;
}

double JsonConfig::number(const std::string& key, double fallback) {
  if (!has(key)) return fallback;
  if (is_finite(json_[key])) return json_[key].get<double>();
  problems_.add(fmt::format("{} is {}; expected a number.", key, shown(json_[key])));
  return fallback;
}

std::string JsonConfig::text(const std::string& key, const std::string& fallback) {
  if (!has(key)) return fallback;
  if (json_[key].is_string()) return json_[key].get<std::string>();
  problems_.add(fmt::format("{} is {}; expected a string.", key, shown(json_[key])));
  return fallback;
}

bool JsonConfig::flag(const std::string& key, bool fallback) {
  if (!has(key)) return fallback;
  if (json_[key].is_boolean()) return json_[key].get<bool>();
  problems_.add(fmt::format("{} is {}; expected true or false.", key, shown(json_[key])));
  return fallback;
}

std::vector<int64_t> JsonConfig::counts(const std::string& key) {
  if (has(key) && is_list_of(json_[key], is_width)) return json_[key].get<std::vector<int64_t>>();
  problems_.add(fmt::format("{} is {}; expected a list of whole numbers from 1 to {}.", key,
                            has(key) ? shown(json_[key]) : "missing", kWidest));
  return {};
}

std::vector<int64_t> JsonConfig::indexes(const std::string& key) {
  if (!has(key)) return {};
  if (is_list_of(json_[key], is_index)) return json_[key].get<std::vector<int64_t>>();
  problems_.add(fmt::format("{} is {}; expected a list of whole numbers from 0 to {}.", key,
                            shown(json_[key]), kMostBlocks - 1));
  return {};
}

std::vector<double> JsonConfig::numbers(const std::string& key) {
  if (!has(key)) return {};
  if (is_list_of(json_[key], is_finite)) return json_[key].get<std::vector<double>>();
  problems_.add(fmt::format("{} is {}; expected a list of numbers.", key, shown(json_[key])));
  return {};
}

JsonConfig JsonConfig::section(const std::string& key, const std::string& overlay) {
  json object = json::object();
  for (const auto& name : {key, overlay}) {
    if (name.empty() || !has(name)) continue;
    if (json_[name].is_object())
      object.update(json_[name]);
    else
      problems_.add(fmt::format("{} is {}; expected an object.", name, shown(json_[name])));
  }
  return {path_, std::move(object)};
}

void JsonConfig::take_problems(const std::string& key, const JsonConfig& section) {
  for (const auto& problem : section.problems_.all()) problems_.add(key + ": " + problem);
}

void JsonConfig::only(const std::string& key, const json& supported, bool absent_is_fine) {
  if (has(key) ? json_[key] == supported : absent_is_fine) return;
  problems_.add(fmt::format("{} is {}; only {} is supported.", key, has(key) ? shown(json_[key]) : "missing",
                            shown(supported)));
}

void JsonConfig::finish() const { problems_.throw_if_any(path_.string()); }

void write_json(const fs::path& path, const nlohmann::ordered_json& json) {
  write_file_atomically(path, json.dump(2) + "\n");
}

}  // namespace pixart::models
