// Reading the config.json of a model folder: every key checked, all problems at once.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::models {

class JsonConfig {
 public:
  explicit JsonConfig(const std::filesystem::path& path) : path_(path.string()) {
    json_ = nlohmann::json::parse(read_file(path, 1 << 20), nullptr, /*allow_exceptions=*/false);
    if (!json_.is_object()) throw UserError(path_ + " is no JSON object; a model's config.json is needed.");
  }

  // The key's value into `value`; absent or null keeps the default.
  template <class T>
  void get(const char* key, T& value) {
    if (!json_.contains(key) || json_[key].is_null()) return;
    try {
      value = json_[key].get<T>();
    } catch (const nlohmann::json::exception&) {
      problems_.add(fmt::format("{} has a value of the wrong type: {}", key, json_[key].dump()));
    }
  }

  void get_positive(const char* key, int64_t& value) {
    if (json_.contains(key) && json_[key].is_number_float())
      return problems_.add(fmt::format("{} must be a whole number, it is {}", key, json_[key].dump()));
    get(key, value);
    if (value < 1 || value > (int64_t{1} << 31))
      problems_.add(fmt::format("{} must be at least 1, it is {}", key, value));
  }

  // A key that changes the mathematics and is supported with one value only; absent is fine.
  template <class T>
  void require(const char* key, const T& supported) {
    if (!json_.contains(key) || json_[key].is_null() || json_[key] == nlohmann::json(supported)) return;
    problems_.add(fmt::format("{} is {}; only {} is supported", key, json_[key].dump(),
                              nlohmann::json(supported).dump()));
  }

  const nlohmann::json& json() const { return json_; }
  Problems& problems() { return problems_; }
  void finish() const { problems_.throw_if_any(path_); }

 private:
  std::string path_;
  nlohmann::json json_;
  Problems problems_;
};

}  // namespace pixart::models
