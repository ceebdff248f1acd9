// Reads a model's config.json (Hugging Face, diffusers) key by key. Wrong and unsupported values are
// collected and reported at once.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::models {

// Bounds of what a config.json may say, before the weights confirm it: far above every known model, and
// products of sizes stay below 2^63.
inline constexpr int64_t kWidest = int64_t{1} << 16;    // layers' inputs and outputs
inline constexpr int64_t kMostRows = int64_t{1} << 24;  // of tables: vocabularies, classes
inline constexpr int64_t kMostBlocks = 1024, kLargestPatch = 256;

class JsonConfig {
 public:
  // Throws UserError if the file cannot be read or is not a JSON object.
  explicit JsonConfig(std::filesystem::path path);
  // The same for a text that is not a file; `subject` names it in messages.
  static JsonConfig of_text(const std::string& text, const std::string& subject);

  bool has(const std::string& key) const { return json_.contains(key) && !json_[key].is_null(); }

  // A whole number from 1 to `most`, a positive or any finite number, a string, and lists. If the key is absent
  // or null, they return the fallback; without a fallback this is a problem. After a problem they return a value
  // that is safe to use.
  int64_t count(const std::string& key, std::optional<int64_t> fallback = {}, int64_t most = kWidest);
  double positive(const std::string& key, double fallback);
  double number(const std::string& key, double fallback);
  std::string text(const std::string& key, const std::string& fallback);
  bool flag(const std::string& key, bool fallback);
  std::vector<int64_t> counts(const std::string& key);
  std::vector<int64_t> indexes(const std::string& key);  // of blocks, from 0; absent: empty
  std::vector<double> numbers(const std::string& key);   // absent: empty

  // The object at `key`, empty if it is absent, with the values of the object at `overlay` in place of its own;
  // something else is a problem. Its problems become those of this file with take_problems().
  JsonConfig section(const std::string& key, const std::string& overlay = {});
  void take_problems(const std::string& key, const JsonConfig& section);

  // Adds a problem unless the value is `supported`; absent or null is allowed with `absent_is_fine`.
  void only(const std::string& key, const nlohmann::json& supported, bool absent_is_fine = true);

  Problems& problems() { return problems_; }
  void finish() const;  // throws UserError if there was any problem

 private:
  JsonConfig(std::filesystem::path path, nlohmann::json json)
      : path_(std::move(path)), json_(std::move(json)) {}
  std::filesystem::path path_;
  nlohmann::json json_;
  Problems problems_;
};

// Writes readable JSON, atomically.
void write_json(const std::filesystem::path& path, const nlohmann::ordered_json& json);

}  // namespace pixart::models
