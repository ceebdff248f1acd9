// Pictures with a .txt caption beside each: the first line that is not empty.
#include <algorithm>

#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "read_bytes.h"
#include "records.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// The first line with text; later ones may be translations. A file that begins with NUL bytes or a byte-order
// mark of UTF-16 has no lines: it is returned whole, and refused as text.
std::string first_line(const std::string& text) {
  constexpr const char* kBlank = " \t\r";
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    const size_t first = line.find_first_not_of(kBlank);
    if (first != std::string::npos) return line.substr(first, line.find_last_not_of(kBlank) + 1 - first);
    begin = end + 1;
  }
  return {};
}

void add_caption(const fs::path& picture, Listing& listing) {
  const fs::path text = fs::path(picture).replace_extension(".txt");
  try {
    std::string caption = first_line(read_bytes(text, 0, 0));
    if (!caption.empty())
      listing.records.back().row.captions.push_back({.name = "caption", .text = std::move(caption)});
  } catch (const ReadFault& fault) {
    if (fault.reason == Reason::kMissingFile || fault.reason == Reason::kEmptyFile) return;  // no caption
    const bool large = fault.reason == Reason::kPictureTooLarge;
    listing.reject(large ? Reason::kCaptionTooLong : fault.reason,
                   text.filename().string() + ": " + fault.detail);
  }
}

// The pictures of all included sub-folders, or of the whole folder; each once, sorted.
std::vector<ListedPicture> list_included(const SourceConfig& config, Problems& problems) {
  if (config.include.empty()) return list_pictures(config.path, "", problems);
  std::vector<ListedPicture> all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const auto some = list_pictures(config.path, folder, problems);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  all.erase(std::unique(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key == b.key; }),
            all.end());
  return all;
}

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const SourceConfig& config) {
  require_folder(config);
  Problems problems;
  const auto pictures = list_included(config, problems);
  if (pictures.empty() && problems.empty()) problems.add("no picture (.png, .jpg, .jpeg, .webp) was found");
  problems.throw_if_any(subject_of(config));
  Listing listing{.type = "image_folder"};
  for (const auto& picture : pictures) {
    add_picture(config.path, picture, listing);
    add_caption(config.path / picture.key, listing);
  }
  return make_dataset(config, std::move(listing));
}

}  // namespace pixart::data
