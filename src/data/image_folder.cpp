// A source of images with a .txt caption next to each: the whole text, or its first line that is not empty.
#include <algorithm>
#include <set>

#include "file_ending.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "read_bytes.h"
#include "records.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '@' || c == '-';
  });
}

// Whether the line is a translation as Tux Paint writes it: de.utf8=Ein Drache.
bool is_translation(std::string_view line) {
  const size_t mark = line.find(".utf8=");
  return mark != std::string_view::npos && mark <= 16 && is_word(line.substr(0, mark));
}

// The lines from the first with text on, without translations and with \n for \r\n; only the first if `lines`
// says so. A file that begins with NUL bytes or a UTF-16 byte-order mark is rejected as text later.
std::string caption_in(const std::string& text, CaptionLines lines) {
  std::string caption;
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (caption.empty()) {
      caption = trimmed(line, " \t\r");
      if (!caption.empty() && lines == CaptionLines::kFirst) break;
    } else if (!is_translation(line)) {
      caption += "\n" + std::string(line.substr(0, line.find_last_not_of(" \t\r") + 1));
    }
  }
  return caption;
}

// The .txt of the same name, or one that is called .TXT.
fs::path caption_file(const fs::path& image) {
  fs::path path = fs::path(image).replace_extension(".txt");
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) return path;
  const fs::path upper = fs::path(image).replace_extension(".TXT");
  return fs::exists(upper, error) ? upper : path;
}

void add_caption(const fs::path& image, CaptionLines lines, Links& links, Listing& listing) {
  const fs::path text = caption_file(image);
  if (!links.admit(text)) return;
  try {
    std::string caption = caption_in(read_bytes(text, 0, 0), lines);
    if (!caption.empty())
      listing.records.back().row.captions.push_back({.name = "caption", .text = std::move(caption)});
  } catch (const ReadFault& fault) {
    if (fault.reason == Reason::kMissingFile || fault.reason == Reason::kEmptyFile) return;  // no caption
    const bool large = fault.reason == Reason::kImageTooLarge;
    listing.reject(large ? Reason::kCaptionTooLong : fault.reason,
                   text.filename().string() + ": " + fault.detail);
  }
}

// Files of the folder that may hold the captions, but are not read.
std::string hint_of_unread_files(const fs::path& folder) {
  static const std::set<std::string> kEndings = {".json", ".jsonl",   ".ndjson", ".csv",    ".tsv",
                                                 ".gz",   ".parquet", ".xlsx",   ".caption"};
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (kEndings.count(file_ending(at->path())) > 0) names.push_back(at->path().filename());
  std::sort(names.begin(), names.end());
  if (names.empty()) return {};
  return fmt::format(
      " These files are not read: {}. Captions come from .txt files, or from a table (.jsonl, .ndjson, .csv, "
      ".tsv) in UTF-8 with an image and its caption in each row.",
      name_some(names));
}

// The images of all included sub-folders, or of the whole folder, each once, sorted.
std::vector<ListedImage> list_included(const SourceConfig& config, Links& links, Problems& problems) {
  if (config.include.empty()) return list_images(config.path, "", links, problems);
  std::vector<ListedImage> all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const auto some = list_images(config.path, folder, links, problems);
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
  Links links(config, {config.path});
  const auto images = list_included(config, links, problems);
  Listing listing{.type = "image_folder"};
  for (const auto& image : images) {
    add_image(config.path, image, listing);
    add_caption(config.path / image.key, config.caption_lines, links, listing);
  }
  if (std::any_of(listing.records.begin(), listing.records.end(),
                  [](const Record& record) { return record.row.captions.empty(); }))
    listing.hint = hint_of_unread_files(config.path);
  links.add_to(problems);
  if (images.empty() && problems.empty())
    problems.add(fmt::format("no image ({}) was found", shown_image_endings()));
  problems.throw_if_any(subject_of(config));
  return make_dataset(config, std::move(listing));
}

}  // namespace pixart::data
