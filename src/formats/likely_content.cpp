#include "likely_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "image_codecs.h"
#include "pixart/base/utf8.h"

namespace pixart::formats {

namespace {

struct Mark {
  size_t at;
  std::string_view bytes, content;
};

using namespace std::string_view_literals;

constexpr std::array<Mark, 20> kMarks = {
    {{0, "8BPS", "a Photoshop image"},
     {4, "ftypheic", "a HEIC image"},
     {4, "ftypmif1", "a HEIC image"},
     {4, "ftyp", "a video"},
     {0, "\xff\x0a", "a JPEG XL image"},
     {4, "JXL ", "a JPEG XL image"},
     {4, "jP  ", "a JPEG 2000 image"},
     {0, "\xff\x4f\xff\x51", "a JPEG 2000 image"},
     {0, "\0\0\1\0"sv, "an icon"},
     {0, "\x1a\x45\xdf\xa3", "a video"},
     {0, "RIFF", "a RIFF file of another kind, such as video or sound"},
     {0, "%PDF", "a PDF document"},
     {0, "PK\3\4", "a zip archive"},
     {0, "\x1f\x8b", "a gzip archive"},
     {0, "7z\xbc\xaf", "a 7z archive"},
     {0, "Rar!", "a rar archive"},
     {0, "\x28\xb5\x2f\xfd", "a zstd archive"},
     {257, "ustar", "a tar archive"},
     {0, "version https://git-lfs", "a pointer of git LFS; fetch the files"},
     {0, "\x93NUMPY", "a NumPy array"}}};

// The beginning in lower case, after any white space and byte-order mark.
std::string beginning(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  bytes = bytes.substr(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
  std::string lower(bytes.substr(0, 512));
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return lower;
}

}  // namespace

std::string_view likely_content(std::string_view bytes) {
  for (const auto& mark : kMarks)
    if (bytes.size() > mark.at && bytes.substr(mark.at).starts_with(mark.bytes)) return mark.content;
  const std::string begin = beginning(bytes);
  if (begin.find("<svg") != std::string::npos) return "an SVG drawing";
  if (begin.starts_with("<!doctype html") || begin.find("<html") != std::string::npos)
    return "an HTML page, perhaps the error page of a download";
  if (begin.starts_with("<")) return "XML";
  if (begin.starts_with("{") || begin.starts_with("[")) return "JSON";
  if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; }))
    return "only zero bytes, perhaps of an unfinished download";
  const bool is_text = std::none_of(bytes.begin(), bytes.end(), [](char c) {
    return uint8_t(c) < 0x20 && c != '\t' && c != '\r' && c != '\n';
  });
  return is_text && is_utf8(bytes) ? "text" : "";
}

std::string not_but(const InputFile& file, const std::string& wanted) {
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 512), 0);
  std::string_view content = likely_content(head);
  if (content.empty()) return "not " + wanted;
  if (head.starts_with("version https://git-lfs")) content = "a Git LFS pointer: run `git lfs pull`";
  const bool is_text = content == "text" || content == "JSON";
  return fmt::format("not {}, but {}{}", wanted, content,
                     is_text ? ": " + shown(head.substr(0, 80)) : std::string());
}

}  // namespace pixart::formats
