#include "sampling.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/parallel.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/formats/image_file.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

using PngText = std::map<std::string, std::string>;

std::string value_in(const ordered_json& record, const char* name, const char* otherwise) {
  const auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

std::string value_in(const PngText& text, const char* name, const char* otherwise) {
  const auto found = text.find(name);
  return found == text.end() ? otherwise : replace_invalid_utf8(found->second);  // as the record has it
}

// 0 if it is not a number of images or prompts.
int64_t number_in(const std::string& text) {
  constexpr int64_t kMost = 1'000'000'000;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  return is_number && number >= 0 && number <= kMost ? number : 0;
}

// Empty if it is not an image of pixart sample.
PngText drawn_text(const fs::path& image) {
  try {
    return formats::read_png_text(image);
  } catch (const UserError& error) {  // not a PNG, or a damaged one
    if (error.code() != ExitCode::kBadInput) throw;
    return {};
  }
}

// Prompts of a suite may have sizes and seeds of their own.
bool is_of_record(const PngText& text, const ordered_json& record) {
  if (!text.contains("prompt") || !text.contains("model_sha256")) return false;
  const auto is_equal = [&](const char* name, const char* otherwise = "") {
    return value_in(text, name, otherwise) == value_in(record, name, otherwise);
  };
  for (const char* name : {"negative_prompt", "model", "model_sha256", "stage", "step", "weights", "vae",
                           "text_encoder", "sampler", "num_steps", "guidance", "process", "preview_decoder",
                           "control", "control_sha256", "control_strength", "control_image", "software"})
    if (!is_equal(name)) return false;
  if (!is_equal("precision", "float32")) return false;
  const bool has_suite = record.contains("suite");
  const bool has_own_seed = has_suite && value_in(text, "index", "") == "0";
  if (!has_own_seed && !is_equal("seed")) return false;
  return has_suite || (is_equal("height") && is_equal("width") && is_equal("tile_size", "0"));
}

}  // namespace

ordered_json sample_record(const fs::path& folder) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const fs::path record = folder / "sample.json";
  if (!fs::is_regular_file(record) || fs::file_size(record) > kLargest) return nullptr;
  const auto json = formats::parse_ordered_or_discard(read_file(record, kLargest));
  if (!json.is_object() || !json.contains("settings") || !json["settings"].is_object()) return nullptr;
  return json["settings"];
}

ordered_json sampling_of(const ordered_json& record) {
  ordered_json sampling = ordered_json::object();
  for (const char* name :
       {"prompts_sha256", "prompts", "count", "negative_prompt", "seed", "sampler", "num_steps", "guidance",
        "height", "width", "weights", "precision", "tile_size", "suite", "process"})
    if (record.contains(name)) sampling[name] = record[name];
  return sampling;
}

std::string fault_of_images(const ordered_json& record, const fs::path& folder,
                            const std::vector<std::string>& images) {
  std::vector<PngText> texts(images.size());
  for_each_in_parallel(int64_t(images.size()),
                       [&](int64_t i) { texts[size_t(i)] = drawn_text(folder / images[size_t(i)]); });
  std::vector<std::string> others;
  std::set<std::vector<std::string>> drawn;
  int64_t count = 0;  // a file of DPG-Bench shows several images
  for (size_t i = 0; i < images.size(); ++i) {
    const auto& text = texts[i];
    if (!is_of_record(text, record)) others.push_back(images[i]);
    drawn.insert({value_in(text, "id", ""), value_in(text, "prompt", ""), value_in(text, "seed", ""),
                  value_in(text, "index", "")});
    count += std::max<int64_t>(1, number_in(value_in(text, "images", "1")));
  }
  const int64_t recorded =
      number_in(value_in(record, "prompts", "")) * number_in(value_in(record, "count", ""));
  if (!others.empty())
    return fmt::format("{} of {} were not drawn with the settings of sample.json, which is of {}: {}",
                       others.size(), images.size(), recorded, name_some(others));
  if (count != recorded)
    return fmt::format("there are {} of them, and sample.json is of {}", count, recorded);
  return drawn.size() < images.size() ? "some of them are there twice" : "";
}

}  // namespace pixart::score
