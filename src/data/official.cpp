// The layouts of the official PixArt-alpha code (diffusion/data/datasets/{InternalData,SAM}.py).
//
// InternData: lists of {"path", "prompt", "sharegpt4v", ...} in partition/*.json, else
// partition_filter/*.json, else *.json; images are in the folder itself, or in its sibling that has
// "InternImgs" instead of "InternData" in its path. The kinds of captions are the fields: prompt, or
// sharegpt4v if there is no prompt, or the fields that `captions` names.
//
// SAM: partition/part*.txt with names; images/NAME.jpg and captions/NAME.txt, whose whole text is the
// caption.
//
// Features of the official tools are used, so that images may be absent if both kinds of features exist: text
// features in caption_feature_wmask/, latents in img_vae_feature/train_vae_256/noflip/ (SAM) or
// img_vae_features_{res}resolution/noflip/ (of the highest resolution there is). For an image DIR/NAME.png of
// InternData they are called DIR_NAME (only the last '/' is replaced).
#include <algorithm>
#include <charconv>

#include "listing.h"
#include "pixart/base/file.h"
#include "pixart/base/parallel.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "row_fields.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr const char* kTextFeatures = "caption_feature_wmask";

std::vector<fs::path> files_of(const fs::path& folder, const std::string& begin, const std::string& ending) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(begin) && name.ends_with(ending) && !name.starts_with('.'))
      files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_listed_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

struct OfficialListing {
  Listing listing = {};
  SpilledVector<uint64_t> offsets = {};
  fs::path texts = {}, latents = {};  // folders of features; empty if there are none
};

// Feature files have the image's name with another extension.
void find_features(OfficialListing& rows, FilePattern::Form form, ListingWatch& watch) {
  auto& listing = rows.listing;
  const auto exists = [&](uint32_t file, int64_t row) {
    return file > 0 && is_listed_file(path_of(listing.pattern(file), listing.key(row)));
  };
  if (!rows.texts.empty()) listing.features = listing.file({rows.texts, form, ".npz"});
  if (!rows.latents.empty()) listing.latents = listing.file({rows.latents, form, ".npy"});
  if (listing.features == 0 && listing.latents == 0) return;
  for (const uint32_t file : {listing.features, listing.latents}) {
    fs::path folder;
    for (int64_t i = 0; file > 0 && i < listing.size(); ++i)
      if (auto own = path_of(listing.pattern(file), listing.key(i)).parent_path(); own != folder)
        watch.reads(folder = std::move(own));
  }
  constexpr int kThreads = 16;
  for_each_in_parallel(
      listing.size(),
      [&](int64_t i) {
        auto& row = listing.row(i);
        if (row.file == 0) return;  // rejected
        row.has_features = exists(listing.features, i);
        row.has_latents = exists(listing.latents, i);
      },
      kThreads);
}

// --- InternData

fs::path images_of(const fs::path& root) {
  constexpr std::string_view kData = "InternData", kImages = "InternImgs";
  std::string path = root.string();
  for (size_t at = path.find(kData); at != std::string::npos; at = path.find(kData, at))
    path.replace(at, kData.size(), kImages);
  return is_folder(path) ? fs::path(path) : root;
}

fs::path latents_of(const fs::path& root) {
  constexpr std::string_view kBegin = "img_vae_features_", kEnd = "resolution";
  fs::path best;
  int64_t highest = -1;
  for (const auto& folder : files_of(root, std::string(kBegin), std::string(kEnd))) {
    const std::string name = folder.filename().string();
    int64_t resolution = 0;
    std::from_chars(name.data() + kBegin.size(), name.data() + name.size() - kEnd.size(), resolution);
    if (resolution <= highest || !is_folder(folder / "noflip")) continue;
    highest = resolution;
    best = folder / "noflip";
  }
  return best;
}

std::vector<fs::path> lists_of(const fs::path& root) {
  for (const fs::path& folder : {root / "partition", root / "partition_filter", root})
    if (auto files = files_of(folder, "", ".json"); !files.empty()) return files;
  return {};
}

void list_intern(const SourceConfig& config, const std::vector<fs::path>& lists, ListingWatch& watch,
                 OfficialListing& rows) {
  const fs::path images = images_of(config.path);
  const uint32_t images_file = rows.listing.file({.path = images, .form = FilePattern::kByKey});
  std::vector<CaptionField> fields = configured_captions(config);
  if (config.captions.empty()) fields = {{"prompt", "prompt"}, {"sharegpt4v", "sharegpt4v"}};
  for (const auto& list : lists) {
    int64_t number = 0;
    watch.reads(list);
    const uint32_t list_file = rows.listing.file({.path = list});
    read_json_list(list, [&](const TableRow& entry) {
      Record record{.key = fmt::format("{} entry {}", list.filename().string(), ++number)};
      rows.offsets.push_back(entry.offset);
      std::optional<ReadFault> fault;
      if (!entry.fault.empty()) fault = {Reason::kBadRow, entry.fault};
      if (!fault) fault = path_in(entry.fields, "path", images, record.key);
      if (!fault) fault = add_captions(entry, fields, list_file, record.captions);
      if (!fault) record.file = images_file;
      rows.listing.add(std::move(record));
      watch.found();
      if (fault) rows.listing.reject(fault->reason, fault->detail, entry.offset);
    });
  }
  if (is_folder(config.path / kTextFeatures)) rows.texts = config.path / kTextFeatures;
  rows.latents = latents_of(config.path);
  find_features(rows, FilePattern::kJoined, watch);
}

// --- SAM

struct SamFiles {
  uint32_t images = 0, captions = 0;  // patterns
};

std::optional<ReadFault> fill_sam_record(const fs::path& root, const std::string& name, const SamFiles& files,
                                         uint64_t offset, Links& links, Record& record,
                                         std::vector<std::string>& refused) {
  if (!is_utf8(name)) {
    record.key = fmt::format("byte {} of a part file", offset);
    return ReadFault{Reason::kBadRow, "the name is not UTF-8"};
  }
  if (auto fault = path_in({{"name", name}}, "name", root / "images", record.key)) return fault;
  record.file = files.images;
  const fs::path text = root / "captions" / (record.key + ".txt");
  if (!links.admit(text)) return refused.push_back(text.string()), std::nullopt;
  try {
    record.captions.push_back(
        {.text = read_bytes(text, 0, 0), .way = {.as = ReadAs::kText, .file = files.captions}});
  } catch (const ReadFault& fault) {
    const bool large = fault.reason == Reason::kImageTooLarge;
    if (fault.reason != Reason::kMissingFile && fault.reason != Reason::kEmptyFile)
      return ReadFault{large ? Reason::kCaptionTooLong : fault.reason, "its caption: " + fault.detail};
  }
  return std::nullopt;
}

// The names in a part file, with their places in it.
void read_names(const fs::path& file, ListedImages& names) {
  const std::string text = read_file(file);
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    name.erase(name.find_last_not_of(" \t\r") + 1);
    if (!name.empty()) {
      names.add(name);
      names.set(names.size() - 1, begin, {});
    }
    begin = end + 1;
  }
}

// The result of a part: the records of some names, and captions that are links out of the source.
std::string sam_records(const fs::path& root, const ListedImages& names, int64_t first, int64_t last,
                        Links& links, ListingWatch& watch) {
  Listing part;
  const SamFiles files{.images = part.file({root / "images", FilePattern::kByKey, ".jpg"}),
                       .captions = part.file({root / "captions", FilePattern::kByKey, ".txt"})};
  std::vector<std::string> refused;
  for (int64_t i = first; i < last; ++i) {
    const std::string name(names.key(i));
    Record record{.key = name};
    const auto fault = fill_sam_record(root, name, files, names.bytes(i), links, record, refused);
    part.add(std::move(record));
    if (fault) part.reject(fault->reason, fault->detail, names.bytes(i));
    watch.found();
  }
  PartWriter writer;
  writer.number(refused.size());
  for (const auto& path : refused) writer.text(path);
  part.write(writer);
  return writer.take();
}

void list_sam(const SourceConfig& config, const std::vector<fs::path>& parts, Links& links,
              ListingWatch& watch, OfficialListing& rows) {
  watch.reads(config.path / "captions");
  ListedImages names;
  for (const auto& part : parts) {
    watch.reads(part);
    read_names(part, names);
  }
  const int64_t size = rows_of_part(names.size());
  const auto take = [&](int64_t, std::string_view result) {
    PartReader reader(result);
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      links.admit(fs::path(reader.text()));
    rows.listing.append(Listing::read(reader), Listing::Files::kSame);
  };
  run_step({.name = "captions",
            .what = "read the captions of " + config.name,
            .unit = "caption",
            .parts = (names.size() + size - 1) / size,
            .units = names.size(),
            .make =
                [&](int64_t part, ListingWatch&) {
                  const int64_t last = std::min((part + 1) * size, names.size());
                  return sam_records(config.path, names, part * size, last, links, watch);
                },
            .take = take},
           watch);
  for (int64_t i = 0; i < names.size(); ++i) rows.offsets.push_back(names.bytes(i));
  if (is_folder(config.path / kTextFeatures)) rows.texts = config.path / kTextFeatures;
  const fs::path latents = config.path / "img_vae_feature" / "train_vae_256" / "noflip";
  if (is_folder(latents)) rows.latents = latents;
  find_features(rows, FilePattern::kByKey, watch);
}

const std::vector<fs::path>& admitted(const std::vector<fs::path>& files, Links& links) {
  for (const auto& file : files) links.admit(file);
  links.throw_if_any();
  return files;
}

}  // namespace

Listing list_official(const SourceConfig& config, ListingWatch& watch) {
  require_folder(config);
  for (const fs::path& folder : {config.path, config.path / "partition", config.path / "partition_filter"})
    watch.reads(folder);
  OfficialListing rows;
  rows.listing.type = "pixart";
  Links links(config, {config.path, images_of(config.path)});
  if (const auto parts = files_of(config.path / "partition", "part", ".txt"); !parts.empty()) {
    list_sam(config, admitted(parts, links), links, watch, rows);
  } else if (const auto lists = lists_of(config.path); !lists.empty()) {
    list_intern(config, admitted(lists, links), watch, rows);
  } else {
    throw UserError(
        fmt::format("{}: found neither partition/part*.txt (SAM) nor partition/*.json, "
                    "partition_filter/*.json or *.json (InternData). Set path to the folder that holds "
                    "partition/.",
                    subject_of(config)));
  }
  find_files(config, rows.listing, rows.offsets, links, watch);
  links.throw_if_any();
  return std::move(rows.listing);
}

}  // namespace pixart::data
