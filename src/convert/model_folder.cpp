#include "pixart/convert/model_folder.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/convert/model_card.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestConfig = uint64_t{16} << 20;

constexpr const char* kSamples = "samples";
const std::set<std::string> kParts = {"transformer", "vae",       "text_encoder",
                                      "tokenizer",   "scheduler", kSamples};
const std::set<std::string> kTokenizerFiles = {"spiece.model", "tokenizer.json", "tokenizer_config.json",
                                               "special_tokens_map.json", "added_tokens.json"};

bool is_weights(const std::string& name) {
  static const std::regex pattern(
      "(model|pytorch_model|diffusion_pytorch_model|adapter_model|pytorch_lora_weights)"
      R"((\.(fp16|bf16|fp32|ema|non_ema))?(-[0-9]{5}-of-[0-9]{5})?\.(safetensors|bin))"
      R"((\.index(\.(fp16|bf16|fp32|ema|non_ema))?\.json)?)");
  return std::regex_match(name, pattern);
}

bool says_where_weights_are(const fs::path& index) {
  try {
    const auto json = nlohmann::json::parse(read_file(index, kLargestConfig));
    return json.is_object() && json.contains("weight_map");
  } catch (const std::exception&) {
    return false;
  }
}

// Web applications also have a config.json, so its content is checked.
bool says_a_model(const fs::path& config) {
  try {
    const auto json = nlohmann::json::parse(read_file(config, kLargestConfig));
    return json.is_object() && (json.contains("_class_name") || json.contains("model_type") ||
                                json.contains("architectures") || json.contains("peft_type"));
  } catch (const std::exception&) {
    return false;
  }
}

// A user may have changed it since; then it is the user's.
bool is_card(const fs::path& file) {
  try {
    return is_own_card(read_file(file, kLargestConfig));
  } catch (const UserError&) {
    return false;
  }
}

bool is_of_a_model(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename();
  if (entry.is_symlink() || !entry.is_regular_file()) return false;
  if (name == "config.json" || name == "model_index.json" || name == "scheduler_config.json" ||
      name == "adapter_config.json")
    return says_a_model(entry.path());
  if (name == "README.md") return is_card(entry.path());
  if (entry.path().parent_path().filename() == kSamples) return is_own_sample(entry.path());
  if (is_weights(name))
    return name.ends_with(".json") ? says_where_weights_are(entry.path()) : begins_as_weights(entry.path());
  return kTokenizerFiles.count(name) > 0;
}

void find_foreign(const fs::path& folder, const std::string& above, std::vector<std::string>& found) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = above + at->path().filename().string();
    const bool is_folder = at->is_directory() && !at->is_symlink();
    if (is_folder && kParts.count(name) > 0)
      find_foreign(at->path(), name + "/", found);
    else if (is_folder || !is_of_a_model(*at))
      found.push_back(is_folder ? name + "/" : name);
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
}

}  // namespace

bool begins_as_weights(const fs::path& file) {
  constexpr size_t kSizeBytes = 8;
  std::ifstream stream(file, std::ios::binary);
  std::string head(kSizeBytes + 1, '\0');
  stream.read(head.data(), std::streamsize(head.size()));
  if (!stream.is_open() || stream.bad()) return false;
  head.resize(size_t(stream.gcount()));
  if (head.empty()) return true;
  const bool is_zip = head.starts_with("PK\x03\x04");
  const bool is_pickle = head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
  // The size of the header is a small number, of which text in this place has no zeros.
  const bool is_safetensors =
      head.size() > kSizeBytes && head.substr(4, 4) == std::string(4, '\0') && head[kSizeBytes] == '{';
  return is_zip || is_pickle || is_safetensors;
}

std::vector<std::string> foreign_entries(const fs::path& folder) {
  std::vector<std::string> found;
  find_foreign(folder, "", found);
  std::sort(found.begin(), found.end());
  return found;
}

void require_model_folder(const fs::path& folder) {
  std::error_code error;
  const auto status = fs::symlink_status(folder, error);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    throw UserError(folder.string() + " is not a folder; it is not replaced by one. Choose another name.");
  const auto foreign = foreign_entries(folder);
  if (foreign.empty()) return;
  throw UserError(fmt::format(
      "{} has entries that do not belong to a model and would be deleted: {}. The folder is not replaced. "
      "Move them away, or choose another folder.",
      folder.string(), name_some(foreign)));
}

}  // namespace pixart::convert
