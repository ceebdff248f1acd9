// A source of images with a .txt caption next to each: the whole text, or its first line that is not empty; or with one
// prompt for all.
#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "caption_places.h"
#include "file_ending.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "read_bytes.h"
#include "records.h"
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
  std::optional<fs::path> refused = {};  // a link that leads out of the source
};

FoundCaption find_caption(const fs::path& image, CaptionLines lines, const std::array<uint32_t, 2>& files,
                          Links& links) {
  const fs::path file = caption_file(image);
  const bool first_line = lines == CaptionLines::kFirst;
  if (!links.admit(file)) return {.refused = file};
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

// A part of the captions: those of the images, and links that are not followed.
class CaptionPart {
 public:
  CaptionPart(const SourceConfig& config, Links& links) : config_(config), links_(links) {
    file_ = listing_.file({.path = config.path, .form = FilePattern::kByKey});
    for (size_t i = 0; i < texts_.size(); ++i)
      texts_[i] = listing_.file(
          {.path = config.path, .form = FilePattern::kNewEnding, .ending = i == 0 ? ".txt" : ".TXT"});
  }
  void add(const ListedImages& images, int64_t i) {
    const fs::path path = config_.path / images.key(i);
    auto found = find_caption(path, config_.caption_lines, texts_, links_);
    add_image(file_, images, i, listing_, std::move(found.texts));
    if (found.fault) listing_.reject(found.fault->reason, found.fault->detail);
    if (found.refused) refused_.push_back(found.refused->string());
  }
  std::string bytes() const {
    PartWriter writer;
    writer.number(refused_.size());
    for (const auto& path : refused_) writer.text(path);
    listing_.write(writer);
    return writer.take();
  }

 private:
  const SourceConfig& config_;
  Links& links_;
  Listing listing_;
  uint32_t file_ = 0;
  std::array<uint32_t, 2> texts_{};
  std::vector<std::string> refused_;
};

void add_captioned(const SourceConfig& config, const ListedImages& images, Links& links, ListingWatch& watch,
                   Listing& listing) {
  const int64_t rows = rows_of_part(images.size());
  const auto make = [&](int64_t part, ListingWatch&) {
    CaptionPart made(config, links);
    for (int64_t i = part * rows; i < std::min((part + 1) * rows, images.size()); ++i) {
      made.add(images, i);
      watch.found(0);
    }
    return made.bytes();
  };
  const auto take = [&](int64_t, std::string_view result) {
    PartReader reader(result);
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      links.admit(fs::path(reader.text()));
    listing.append(Listing::read(reader), Listing::Files::kSame);
  };
  run_step({.name = "captions",
            .what = "read the captions of " + config.name,
            .unit = "caption",
            .parts = (images.size() + rows - 1) / rows,
            .units = images.size(),
            .is_last = true,
            .make = make,
            .take = take},
           watch);
}

// One caption for all images.
void add_prompted(const SourceConfig& config, const ListedImages& images, Listing& listing) {
  const uint32_t file = listing.file({.path = config.path, .form = FilePattern::kByKey});
  const ListedText prompt = listing.stored("caption", config.prompt);
  for (int64_t i = 0; i < images.size(); ++i) add_image(file, images, i, listing, {prompt});
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

// Texts next to the image that belong to no image, such as 0.jpeg.txt.
std::string hint_of_other_texts(const fs::path& image) {
  std::set<std::string> stems;
  std::vector<fs::path> texts;
  std::error_code error;
  for (fs::directory_iterator at(image.parent_path(), error), end; !error && at != end; at.increment(error)) {
    if (has_image_ending(at->path())) stems.insert(at->path().stem());
    if (file_ending(at->path()) == ".txt") texts.push_back(at->path());
  }
  std::vector<std::string> names;
  for (const auto& text : texts)
    if (stems.count(text.stem()) == 0) names.push_back(text.filename());
  std::sort(names.begin(), names.end());
  if (names.empty()) return {};
  return fmt::format(" These .txt files belong to no image: {}. The caption of {} is {}.", name_some(names),
                     image.filename().string(),
                     fs::path(image.filename()).replace_extension(".txt").string());
}

// The images of all included sub-folders, or of the whole folder, each once, sorted.
ListedImages list_included(const SourceConfig& config, Links& links, ListingWatch& watch,
                           Problems& problems) {
  if (config.include.empty()) return list_images(config, "", "folders", links, watch, problems);
  ListedImages all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const std::string step = "folders" + formats::sha256(folder).substr(0, 16);
    all.append(list_images(config, folder, step, links, watch, problems));
  }
  all.sort();
  all.remove_repeated();
  return all;
}

}  // namespace

Listing list_image_folder(const SourceConfig& config, ListingWatch& watch) {
  require_folder(config);
  watch.reads(config.path);
  Problems problems;
  Links links(config, {config.path});
  auto images = list_included(config, links, watch, problems);
  const bool is_empty = images.size() == 0;
  look_at_images(config, /*is_last=*/!config.prompt.empty(), watch, images);
  Listing listing;
  listing.type = "image_folder";
  if (config.prompt.empty())
    add_captioned(config, images, links, watch, listing);
  else
    add_prompted(config, images, listing);
  int64_t first = 0;  // without a caption
  while (first < listing.size() && listing.has_texts(first)) ++first;
  if (first < listing.size())
    listing.hint = hint_of_unread_files(config.path) + hint_of_other_texts(listing.image_file(first));
  links.add_to(problems);
  if (is_empty && problems.empty()) {
    const auto hint = hint_of_saved_dataset(config.path);
    problems.add(hint.empty() ? fmt::format("no image ({}) was found", shown_image_endings()) : hint);
  }
  problems.throw_if_any(subject_of(config));
  return listing;
}

}  // namespace pixart::data
