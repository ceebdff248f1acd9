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

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

struct OfficialListing {
  Listing listing{.type = "pixart"};
  std::vector<uint64_t> offsets = {};
  fs::path texts = {}, latents = {};  // folders of features; empty if there are none
};

// Feature files have the image's name with another extension; `name` gives their path below the folders.
void find_features(OfficialListing& rows, const std::function<std::string(const std::string& key)>& name) {
  if (rows.texts.empty() && rows.latents.empty()) return;
  auto& records = rows.listing.records;
  constexpr int kThreads = 16;
  for_each_in_parallel(
      int64_t(records.size()),
      [&](int64_t i) {
        auto& record = records[size_t(i)];
        if (record.file.empty()) return;  // rejected
        const std::string stem = name(record.row.key);
        if (!rows.texts.empty() && is_file(rows.texts / (stem + ".npz")))
          record.row.caption_file = rows.texts / (stem + ".npz");
        if (!rows.latents.empty() && is_file(rows.latents / (stem + ".npy")))
          record.row.latent_file = rows.latents / (stem + ".npy");
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

// a/b/c.png -> a/b_c, as the official data set joins the last two parts.
std::string joined_name(const std::string& key) {
  std::string name = fs::path(key).replace_extension().generic_string();
  if (const size_t slash = name.rfind('/'); slash != std::string::npos) name[slash] = '_';
  return name;
}

std::vector<fs::path> lists_of(const fs::path& root) {
  for (const fs::path& folder : {root / "partition", root / "partition_filter", root})
    if (auto files = files_of(folder, "", ".json"); !files.empty()) return files;
  return {};
}

void list_intern(const SourceConfig& config, const std::vector<fs::path>& lists, OfficialListing& rows) {
  const fs::path images = images_of(config.path);
  std::vector<CaptionField> fields = configured_captions(config);
  if (config.captions.empty()) fields = {{"prompt", "prompt"}, {"sharegpt4v", "sharegpt4v"}};
  for (const auto& list : lists) {
    int64_t number = 0;
    read_json_list(list, [&](const TableRow& entry) {
      auto& record = rows.listing.records.emplace_back();
      rows.offsets.push_back(entry.offset);
      record.row.key = fmt::format("{} entry {}", list.filename().string(), ++number);
      std::optional<ReadFault> fault;
      if (!entry.fault.empty()) fault = {Reason::kBadRow, entry.fault};
      if (!fault) fault = path_in(entry.fields, "path", images, record.row.key);
      if (!fault) fault = add_captions(entry.fields, fields, record.row.captions);
      if (fault) return rows.listing.reject(fault->reason, fault->detail, entry.offset);
      record.file = images / record.row.key;
    });
  }
  if (is_folder(config.path / kTextFeatures)) rows.texts = config.path / kTextFeatures;
  rows.latents = latents_of(config.path);
  find_features(rows, joined_name);
}

// --- SAM

void add_sam_sample(const fs::path& root, const std::string& name, Links& links, Listing& listing,
                    uint64_t offset) {
  auto& record = listing.records.emplace_back();
  record.row.key = name;
  if (!is_utf8(name)) {
    record.row.key = fmt::format("byte {} of a part file", offset);
    return listing.reject(Reason::kBadRow, "the name is not UTF-8", offset);
  }
  if (auto fault = path_in({{"name", name}}, "name", root / "images", record.row.key))
    return listing.reject(fault->reason, fault->detail, offset);
  record.file = root / "images" / (record.row.key + ".jpg");
  const fs::path text = root / "captions" / (record.row.key + ".txt");
  if (!links.admit(text)) return;
  try {
    record.row.captions.push_back({.name = "caption", .text = read_bytes(text, 0, 0)});
  } catch (const ReadFault& fault) {
    if (fault.reason == Reason::kMissingFile || fault.reason == Reason::kEmptyFile) return;  // no caption
    const bool large = fault.reason == Reason::kImageTooLarge;
    listing.reject(large ? Reason::kCaptionTooLong : fault.reason, "its caption: " + fault.detail, offset);
  }
}

void list_sam(const SourceConfig& config, const std::vector<fs::path>& parts, Links& links,
              OfficialListing& rows) {
  for (const auto& part : parts) {
    const std::string text = read_file(part);
    for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::string name = text.substr(begin, end - begin);
      name.erase(name.find_last_not_of(" \t\r") + 1);
      if (!name.empty()) {
        add_sam_sample(config.path, name, links, rows.listing, begin);
        rows.offsets.push_back(begin);
      }
      begin = end + 1;
    }
  }
  if (is_folder(config.path / kTextFeatures)) rows.texts = config.path / kTextFeatures;
  const fs::path latents = config.path / "img_vae_feature" / "train_vae_256" / "noflip";
  if (is_folder(latents)) rows.latents = latents;
  find_features(rows, [](const std::string& key) { return key; });
}

const std::vector<fs::path>& admitted(const std::vector<fs::path>& files, Links& links) {
  for (const auto& file : files) links.admit(file);
  links.throw_if_any();
  return files;
}

}  // namespace

std::unique_ptr<Dataset> open_official(const SourceConfig& config) {
  require_folder(config);
  OfficialListing rows;
  Links links(config, {config.path, images_of(config.path)});
  if (const auto parts = files_of(config.path / "partition", "part", ".txt"); !parts.empty()) {
    list_sam(config, admitted(parts, links), links, rows);
  } else if (const auto lists = lists_of(config.path); !lists.empty()) {
    list_intern(config, admitted(lists, links), rows);
  } else {
    throw UserError(
        fmt::format("{}: found neither partition/part*.txt (SAM) nor partition/*.json, "
                    "partition_filter/*.json or *.json (InternData). Set path to the folder that holds "
                    "partition/.",
                    subject_of(config)));
  }
  find_files(rows.listing, rows.offsets, links, [](const Record& record) {
    return !record.row.latent_file.empty() && !record.row.caption_file.empty();
  });
  links.throw_if_any();
  return make_dataset(config, std::move(rows.listing));
}

}  // namespace pixart::data
