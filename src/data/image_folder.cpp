// A source of images with a .txt caption next to each: the whole text, or its first line that is not empty.
#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "caption_places.h"
#include "file_ending.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "read_bytes.h"
#include "records.h"
#include "slow_progress.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// The .txt of the same name, or one that is called .TXT.
fs::path caption_file(const fs::path& image) {
  fs::path path = fs::path(image).replace_extension(".txt");
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) return path;
  const fs::path upper = fs::path(image).replace_extension(".TXT");
  return fs::exists(upper, error) ? upper : path;
}

// The caption of an image, where it has one; `files`: patterns of the names .txt and .TXT.
struct FoundCaption {
  std::vector<ListedText> texts = {};
  std::optional<ReadFault> fault = {};
};

FoundCaption find_caption(const fs::path& image, CaptionLines lines, const std::array<uint32_t, 2>& files,
                          Links& links) {
  const fs::path file = caption_file(image);
  const bool first_line = lines == CaptionLines::kFirst;
  if (!links.admit(file)) return {};
  try {
    ListedText text{.text = text_of_caption_file(read_bytes(file, 0, 0), first_line),
                    .way = {.as = first_line ? ReadAs::kFolderLine : ReadAs::kFolderText,
                            .file = files[file.extension() == ".txt" ? 0 : 1]}};
    return text.text.empty() ? FoundCaption{} : FoundCaption{.texts = {std::move(text)}};
  } catch (const ReadFault& fault) {
    if (fault.reason == Reason::kMissingFile || fault.reason == Reason::kEmptyFile) return {};  // no caption
    const bool large = fault.reason == Reason::kImageTooLarge;
    return {.fault = ReadFault{large ? Reason::kCaptionTooLong : fault.reason,
                               file.filename().string() + ": " + fault.detail}};
  }
}

// On several threads, a block of images at a time.
void add_captioned(const SourceConfig& config, std::vector<ListedImage> images, Links& links,
                   ListingWatch& watch, Listing& listing) {
  constexpr size_t kBlock = 4096;
  const uint32_t file = listing.file({.path = config.path, .form = FilePattern::kByKey});
  std::array<uint32_t, 2> texts{};
  for (size_t i = 0; i < texts.size(); ++i)
    texts[i] = listing.file(
        {.path = config.path, .form = FilePattern::kNewEnding, .ending = i == 0 ? ".txt" : ".TXT"});
  SlowProgress progress("read the captions of " + config.name, int64_t(images.size()), "caption");
  for (size_t first = 0; first < images.size(); first += kBlock) {
    std::vector<FoundCaption> found(std::min(kBlock, images.size() - first));
    for_each_in_parallel(int64_t(found.size()), [&](int64_t i) {
      const auto path = config.path / images[first + size_t(i)].key;
      found[size_t(i)] = find_caption(path, config.caption_lines, texts, links);
    });
    for (size_t i = 0; i < found.size(); ++i) {
      add_image(file, images[first + i], listing, std::move(found[i].texts));
      if (found[i].fault) listing.reject(found[i].fault->reason, found[i].fault->detail);
      images[first + i] = {};  // millions of them would not fit into memory twice
    }
    watch.found(0);
    progress.advance(int64_t(found.size()));
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
      ".tsv in UTF-8, or .parquet) with an image and its caption in each row.",
      name_some(names));
}

// The images of all included sub-folders, or of the whole folder, each once, sorted.
std::vector<ListedImage> list_included(const SourceConfig& config, Links& links, ListingWatch& watch,
                                       Problems& problems) {
  if (config.include.empty()) return list_images(config.path, "", links, watch, problems);
  std::vector<ListedImage> all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const auto some = list_images(config.path, folder, links, watch, problems);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  all.erase(std::unique(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key == b.key; }),
            all.end());
  return all;
}

}  // namespace

Listing list_image_folder(const SourceConfig& config, ListingWatch& watch) {
  require_folder(config);
  watch.reads(config.path);
  Problems problems;
  Links links(config, {config.path});
  auto images = list_included(config, links, watch, problems);
  const bool is_empty = images.empty();
  Listing listing;
  listing.type = "image_folder";
  add_captioned(config, std::move(images), links, watch, listing);
  bool lacks = false;
  for (int64_t row = 0; row < listing.size(); ++row) lacks = lacks || !listing.has_texts(row);
  if (lacks) listing.hint = hint_of_unread_files(config.path);
  links.add_to(problems);
  if (is_empty && problems.empty())
    problems.add(fmt::format("no image ({}) was found", shown_image_endings()));
  problems.throw_if_any(subject_of(config));
  return listing;
}

}  // namespace pixart::data
