#pragma once
#include <filesystem>
#include <string>

#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

// The extension of a file's name in lower case, with its dot: ".jsonl" of a/META.JSONL.
inline std::string file_ending(const std::filesystem::path& path) {
  return ascii_lower(path.extension().string());
}

inline bool has_image_ending(const std::filesystem::path& path) {
  const std::string ending = file_ending(path);
  return !ending.empty() && contains(formats::image_endings(), std::string_view(ending).substr(1));
}

}  // namespace pixart::data
