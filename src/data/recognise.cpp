#include "pixart/data/recognise.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "file_ending.h"
#include "listing.h"
#include "mds_shard.h"
#include "parquet_table.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/data/web_address.h"
#include "remote_shards.h"
#include "splits.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

std::string type_of_file(const fs::path& path) {
  if (file_ending(path) == ".tar") return "webdataset";
  if (is_parquet_name(path)) return "parquet";
  if (file_ending(path) == ".mds") return "mds";
  return is_table_name(path) ? "table" : "";
}

constexpr int64_t kMostLookedAt = 1000;  // images of a folder that are looked at closely
constexpr size_t kMostFolders = 16;      // sub-folders that are looked into

// What a folder holds, or its sub-folders too.
struct Content {
  int64_t images = 0, looked_at = 0, pairs = 0;  // pairs: images with a .txt of their name
  // Of those looked at; of all .tar and .parquet files.
  uint64_t image_bytes = 0, shard_bytes = 0, parquet_bytes = 0;
  bool has_idx = false, has_parquet = false, has_mds = false;
  std::vector<fs::path> tables = {}, folders = {};

  // Some images have captions: a stray .txt file does not count.
  bool is_captioned() const { return pairs > 0 && pairs * 10 >= looked_at; }
  void add(const Content& other) {
    images += other.images, looked_at += other.looked_at, pairs += other.pairs;
    image_bytes += other.image_bytes, parquet_bytes += other.parquet_bytes;
    tables.insert(tables.end(), other.tables.begin(), other.tables.end());
  }
};

uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : uint64_t(bytes);
}

bool has_text(const fs::path& image) {
  std::error_code error;
  return fs::exists(fs::path(image).replace_extension(".txt"), error) ||
         fs::exists(fs::path(image).replace_extension(".TXT"), error);
}

void add_file(const fs::path& path, Content& content) {
  if (path.filename().string().find("-images-idx3-ubyte") != std::string::npos) content.has_idx = true;
  const std::string type = type_of_file(path);
  if (type == "table") content.tables.push_back(path);
  if (type == "webdataset") content.shard_bytes += size_of(path);
  if (type == "parquet") content.parquet_bytes += size_of(path), content.has_parquet = true;
  if (type == "mds") content.has_mds = true;
  if (!has_image_ending(path) || ++content.images > kMostLookedAt) return;
  ++content.looked_at;
  content.image_bytes += size_of(path);
  content.pairs += has_text(path) ? 1 : 0;
}

Content content_of(const fs::path& folder) {
  Content content;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    if (at->path().filename().string().starts_with('.')) continue;
    if (at->is_directory(no_status))
      content.folders.push_back(at->path());
    else
      add_file(at->path(), content);
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  std::sort(content.folders.begin(), content.folders.end());
  if (content.folders.size() > kMostFolders) content.folders.resize(kMostFolders);
  return content;
}

// How sure it is that tables list images.
enum class Listed {
  kNo,
  kPerhaps,   // a column of another name holds paths of images
  kImages,    // a column of images, or rows that cannot be read
  kCaptions,  // and captions
};

Listed listed_in(const fs::path& table) {
  TableStart start;
  try {
    start = start_of(table);
  } catch (const UserError&) {  // the source reports it
    return Listed::kImages;
  }
  if (start.rows == 0) return Listed::kNo;
  const bool has_images = !first_of(kImageColumns, start.columns).empty();
  if (has_images && !first_of(kCaptionColumns, start.columns).empty()) return Listed::kCaptions;
  if (has_images || start.bad == start.rows) return Listed::kImages;
  return start.names_images && start.columns.count("key") == 0 ? Listed::kPerhaps : Listed::kNo;
}

Listed listed_in(const std::vector<fs::path>& tables) {
  Listed most = Listed::kNo;
  for (const auto& table : tables) most = std::max(most, listed_in(table));
  return most;
}

// The content of a folder and its sub-folders; links may lead in circles.
void look_into(const fs::path& folder, int depth, Content& sum) {
  constexpr int kDeepest = 4;
  Content here;
  try {
    here = content_of(folder);
  } catch (const UserError&) {  // the source reports it
    return;
  }
  sum.add(here);
  for (const auto& inner : here.folders)
    if (depth < kDeepest && sum.images < kMostLookedAt) look_into(inner, depth + 1, sum);
}

// The sub-folders of a folder.
struct Below {
  Content all = {};
  Listed least = Listed::kCaptions;     // of the tables in each sub-folder with images
  Listed most = Listed::kNo;            // of the tables in any sub-folder
  uint64_t parquet_bytes = 0;           // in any sub-folder
  std::vector<std::string> names = {};  // of those with images
};

Below below(const Content& top) {
  Below result;
  for (const auto& folder : top.folders) {
    Content sum;
    look_into(folder, 1, sum);
    const Listed listed = listed_in(sum.tables);
    result.most = std::max(result.most, listed);
    result.parquet_bytes += sum.parquet_bytes;
    if (sum.images == 0) continue;
    result.all.add(sum);
    result.least = std::min(result.least, listed);
    result.names.push_back(folder.filename().string());
  }
  return result;
}

bool is_official(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder / "partition", error) ||
         fs::is_directory(folder / "partition_filter", error);
}

// A folder of classes with such names would have the captions "train" and "test".
bool are_splits(const std::vector<std::string>& names) {
  return !names.empty() && std::all_of(names.begin(), names.end(), is_split_name);
}

// The folders that look like splits: those of `folder`, or of the only folder with images that it has
// ("data/train"). Empty if they do not.
std::vector<fs::path> splits_of(fs::path folder, Below inner) {
  while (inner.names.size() == 1 && !are_splits(inner.names)) {
    folder /= inner.names.front();
    const Content top = content_of(folder);
    if (top.images > 0) return {};
    inner = below(top);
  }
  std::vector<fs::path> splits;
  for (const auto& name : inner.names)
    if (are_splits(inner.names)) splits.push_back(folder / name);
  return splits;
}

bool are_tables_below(const Content& top, const Below& inner) {
  if (inner.names.empty()) return top.images == 0 && inner.most >= Listed::kImages;
  return inner.least == Listed::kCaptions || (inner.least == Listed::kImages && are_splits(inner.names));
}

// The type of a folder in which no table and no caption decides.
std::string type_by_folders(const fs::path& folder, const Content& top, Listed listed) {
  const Below inner = below(top);
  if (top.shard_bytes > top.image_bytes + inner.all.image_bytes) return "webdataset";
  // img2dataset's .parquet files lie next to its .tar files, which decide.
  if (top.parquet_bytes + inner.parquet_bytes > top.image_bytes + inner.all.image_bytes) return "parquet";
  if (top.has_parquet && inner.all.images == 0)
    return "parquet";  // it lists the images next to it, or is empty
  if (are_tables_below(top, inner)) return "table";
  if (inner.all.is_captioned()) return "image_folder";
  if (inner.all.images <= top.images) return listed == Listed::kPerhaps ? "table" : "image_folder";
  const auto splits = splits_of(folder, inner);
  if (splits.empty()) return "class_folder";
  std::vector<std::string> names;
  for (const auto& split : splits) names.push_back(split.lexically_relative(folder).string());
  throw UserError(fmt::format(
      "{} holds no captions (.txt files or metadata.jsonl), and {} look like splits, not like classes. Give "
      "one of them, such as {}, or the type.",
      folder.string(), join(names, ", "), splits.front().string()));
}

std::string type_of_folder(const fs::path& folder) {
  const Content top = content_of(folder);
  if (top.images == 0 && !top.has_parquet)
    if (const auto hint = hint_of_saved_dataset(folder); !hint.empty()) throw UserError(hint + ".");
  if (top.has_idx) return "idx";
  if (is_mds_folder(folder) || (top.has_mds && top.images == 0)) return "mds";
  if (is_official(folder)) return "pixart";
  const Listed listed = listed_in(top.tables);
  if (listed == Listed::kCaptions || (listed == Listed::kImages && !top.is_captioned())) return "table";
  return top.is_captioned() ? "image_folder" : type_by_folders(folder, top, listed);
}

// "" where nothing says which.
std::string type_at(const std::string& path) {
  if (path == "scenes") return "scenes";
  const std::string name = path.substr(0, path.find('?'));
  if (is_address(path) && is_parquet_name(name))
    throw UserError(shown_address(path) + ": Parquet files are not read from servers; fetch them first.");
  if (names_addresses(path)) return "webdataset";
  std::error_code error;
  return fs::is_directory(path, error) ? type_of_folder(path) : type_of_file(path);  // or of a glob
}

std::string type_or_error(const std::string& path, const char* remedy) {
  if (std::string type = type_at(path); !type.empty()) return type;
  std::error_code error;
  throw UserError(fmt::format("{} {}: {}.", path,
                              fs::exists(path, error) ? "is not a data source" : "does not exist", remedy));
}

}  // namespace

std::string recognised_type(const std::string& path) {
  return type_or_error(path, "give a run file (.yaml), a folder of images, tables or shards, or 'scenes'");
}

std::unique_ptr<Dataset> open_image_set(const fs::path& path) {
  SourceConfig config;
  config.name = "images";
  config.type = type_or_error(path.string(), "give a folder, shards or a table of images");
  if (config.type == "class_folder") config.type = "image_folder";
  config.path = path;
  config.missing_caption = MissingCaption::kEmpty;
  config.missing_caption_share = 1;
  config.quarantine_budget = 1;
  return open_dataset(config);
}

}  // namespace pixart::data
