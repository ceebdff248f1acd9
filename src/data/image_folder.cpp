// A source of images with a .txt caption next to each: its first line that is not empty.
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

// The first line with text; later lines may be translations. A file that begins with NUL bytes or a UTF-16
// byte-order mark has no lines: it is returned whole and rejected as text later.
std::string first_line(const std::string& text) {
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = trimmed(text.substr(begin, end - begin), " \t\r");
    if (!line.empty()) return line;
    begin = end + 1;
  }
  return {};
}

void add_caption(const fs::path& image, Listing& listing) {
  const fs::path text = fs::path(image).replace_extension(".txt");
  try {
    std::string caption = first_line(read_bytes(text, 0, 0));
    if (!caption.empty())
      listing.records.back().row.captions.push_back({.name = "caption", .text = std::move(caption)});
  } catch (const ReadFault& fault) {
    if (fault.reason == Reason::kMissingFile || fault.reason == Reason::kEmptyFile) return;  // no caption
    const bool large = fault.reason == Reason::kImageTooLarge;
    listing.reject(large ? Reason::kCaptionTooLong : fault.reason,
                   text.filename().string() + ": " + fault.detail);
  }
}

// The images of all included sub-folders, or of the whole folder, each once, sorted.
std::vector<ListedImage> list_included(const SourceConfig& config, Problems& problems) {
  if (config.include.empty()) return list_images(config.path, "", problems);
  std::vector<ListedImage> all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const auto some = list_images(config.path, folder, problems);
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
  const auto images = list_included(config, problems);
  if (images.empty() && problems.empty()) problems.add("no image (.png, .jpg, .jpeg, .webp) was found");
  problems.throw_if_any(subject_of(config));
  Listing listing{.type = "image_folder"};
  for (const auto& image : images) {
    add_image(config.path, image, listing);
    add_caption(config.path / image.key, listing);
  }
  return make_dataset(config, std::move(listing));
}

}  // namespace pixart::data
