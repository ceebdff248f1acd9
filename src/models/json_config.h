// Reads a model's config.json (Hugging Face, diffusers) key by key, and collects everything that is wrong
// with it or that we do not support, so that it is reported at once.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::models {

class JsonConfig {
 public:
  // Throws UserError if the file cannot be read or is no JSON object.
  explicit JsonConfig(std::filesystem::path path);

  bool has(const std::string& key) const { return json_.contains(key) && !json_[key].is_null(); }

  // Whole number >= 1, positive number, text, and lists. Absent (or null): the fallback, or a problem where
  // there is none. After a problem they return a value that can be worked with.
  int64_t count(const std::string& key, std::optional<int64_t> fallback = {});
  double positive(const std::string& key, double fallback);
  std::string text(const std::string& key, const std::string& fallback);
  bool flag(const std::string& key, bool fallback);
  std::vector<int64_t> counts(const std::string& key);
  std::vector<double> numbers(const std::string& key);  // absent: empty

  // A problem unless the key holds `supported` or, where `absent_is_fine`, is absent or null.
  void only(const std::string& key, const nlohmann::json& supported, bool absent_is_fine = true);

  Problems& problems() { return problems_; }
  void finish() const;  // throws UserError if there was any problem

 private:
  std::filesystem::path path_;
  nlohmann::json json_;
  Problems problems_;
};

// Writes readable JSON, atomically.
void write_json(const std::filesystem::path& path, const nlohmann::ordered_json& json);

}  // namespace pixart::models
