// Validation of caption texts, and files of captions that are joined by key.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "read_bytes.h"

namespace pixart::data {

inline constexpr uint64_t kLargestCaption = uint64_t{1} << 20;

// Trims `text` (white space, byte-order mark). Returns what is wrong with it, if anything: not UTF-8, control
// characters other than white space, more than 1 MiB; `text` is empty then.
std::optional<ReadFault> clean_caption_text(std::string& text);

// Reads one {"key": ..., "caption": a text or a list of texts} per line. Throws UserError that names the
// lines of another form.
std::unordered_map<std::string, std::vector<std::string>> read_caption_file(
    const std::filesystem::path& path);

// The captions in a field: a text, or the texts of a list that are not blank, also of one that pandas or
// NumPy wrote as a text; none for null. Nothing for other values.
std::optional<std::vector<std::string>> texts_in(const nlohmann::json& field);

}  // namespace pixart::data
