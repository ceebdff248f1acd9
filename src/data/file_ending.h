#pragma once
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>

namespace pixart::data {

// The extension of a file's name in lower case, with its dot: ".jsonl" of a/META.JSONL.
inline std::string file_ending(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return ending;
}

inline bool has_image_ending(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 4> kEndings = {".png", ".jpg", ".jpeg", ".webp"};
  return std::find(kEndings.begin(), kEndings.end(), file_ending(path)) != kEndings.end();
}

}  // namespace pixart::data
