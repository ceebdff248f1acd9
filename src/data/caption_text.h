// Validation of caption texts, and files of captions that are joined by key.
#pragma once
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "read_bytes.h"

namespace pixart::data {

inline constexpr uint64_t kLargestCaption = uint64_t{1} << 20;

// Trims `text` (white space, byte-order mark). Returns what is wrong with it, if anything: not UTF-8, control
// characters other than white space, more than 1 MiB; `text` is empty then.
std::optional<ReadFault> clean_caption_text(std::string& text);

// A line {"key": ..., "caption": a text or a list of texts} of a file.
struct CaptionLine {
  std::string key = {};
  std::vector<std::string> texts = {};
  uint64_t offset = 0, bytes = 0;
};
// Calls `take` with each line; it returns false for a key that it has seen. Throws UserError that names these
// lines and those of another form.
void read_caption_file(const std::filesystem::path& path, const std::function<bool(CaptionLine&)>& take);

// The captions in a field: a text, or the texts of a list that are not blank, also of one that pandas or
// NumPy wrote as a text; none for null. Nothing for other values.
std::optional<std::vector<std::string>> texts_in(const nlohmann::json& field);

}  // namespace pixart::data
