// A source of the rows of .parquet files. A row has its image in itself (a binary column, or the structure {bytes, path}
// of Hugging Face) or names its file. Captions are texts or lists of texts, labels are names or numbers; the names of
// Hugging Face's ClassLabel are those of the classes.
// A sample's key is the value of key_column, or else the path of its image; of an image in the row, the column `key` as
// img2dataset writes it, or otherwise <file>#<row>, because Hugging Face's paths are names without folders, which repeat. Files are sorted by
// path; rows keep their order.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "caption_text.h"
#include "json_text.h"
#include "links.h"
#include "parquet_table.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"
#include "placed_rows.h"
#include "row_fields.h"
#include "sources.h"
#include "splits.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr std::array<const char*, 4> kEncodedColumns = {"jpg", "jpeg", "png",
                                                        "webp"};  // as img2dataset names them
constexpr const char* kKeyColumn = "key";

// The columns of an image; empty if there is none.
struct ImageColumns {
  std::string bytes = {}, path = {};
  bool exist() const { return !bytes.empty() || !path.empty(); }
};

ImageColumns image_columns(const ParquetTable& table, const std::set<std::string>& columns,
                           const std::string& name) {
  const auto text = [&](const std::string& column) {
    return columns.count(column) > 0 && table.kind_of(column) == ParquetKind::kBytes &&
           !table.is_list(column);
  };
  if (text(name + ".bytes")) return {name + ".bytes", text(name + ".path") ? name + ".path" : ""};
  if (!text(name)) return {};
  return table.type_of(name) == "string" ? ImageColumns{"", name} : ImageColumns{name, ""};
}

ImageColumns default_image(const ParquetTable& table, const std::set<std::string>& columns) {
  for (const char* name : kImageColumns)
    if (auto image = image_columns(table, columns, name); image.exist()) return image;
  for (const char* name : kEncodedColumns)
    if (auto image = image_columns(table, columns, name); !image.bytes.empty()) return image;
  return {};
}

std::vector<std::string> shown_columns(const ParquetTable& table, const std::set<std::string>& columns) {
  std::vector<std::string> shown;
  for (const auto& name : columns) shown.push_back(fmt::format("{} ({})", name, table.type_of(name)));
  return shown;
}

std::string no_image_column(const ParquetTable& table, const std::set<std::string>& columns) {
  std::string what = fmt::format(
      "no column holds images or their paths under a usual name ({}). Set image_column to one of: {}.",
      join({kImageColumns.begin(), kImageColumns.end()}, ", "), name_some(shown_columns(table, columns)));
  if (columns.count(kKeyColumn) > 0)
    what +=
        " If the images are in .tar files next to it, as img2dataset writes them, use type: webdataset; the .json "
        "files in these have the same columns.";
  return what;
}

// What the config says about columns, checked against the files.
struct Choice {
  ImageColumns image = {};
  std::vector<CaptionField> captions = {};
};

Choice choose_columns(const SourceConfig& config, const ParquetTable& table) {
  const auto columns = table.columns();
  const std::vector<std::string> names(columns.begin(), columns.end());
  std::vector<std::string> known = names;  // and the structures that hold images
  for (const auto& name : names)
    if (const size_t end = name.rfind(".bytes"); end != std::string::npos)
      known.push_back(name.substr(0, end));
  Problems problems;
  const auto check = [&](const std::string& key, const std::string& column, bool may_be_number,
                         bool may_be_list) {
    const auto kind = table.kind_of(column);
    if (columns.count(column) == 0)
      problems.add(no_such_column(key, column, names, known));
    else if ((kind != ParquetKind::kBytes && !(may_be_number && kind == ParquetKind::kInteger)) ||
             (!may_be_list && table.is_list(column)))
      problems.add(fmt::format("{}: the column '{}' holds {}; expected {}", key, column,
                               table.type_of(column), may_be_number ? "names or whole numbers" : "texts"));
  };
  Choice choice{.image = default_image(table, columns), .captions = configured_captions(config)};
  if (!config.image_column.empty()) {
    choice.image = image_columns(table, columns, config.image_column);
    if (!choice.image.exist()) check("image_column", config.image_column, false, false);
  }
  const std::string image = choice.image.bytes.empty() ? choice.image.path : choice.image.bytes;
  if (const auto types = table.types_of(image); types.size() > 1 && types.count("string") > 0)
    problems.add(
        fmt::format("the column '{}' holds paths in some files and images in others ({}). Set path to a glob "
                    "of one kind",
                    image, join({types.begin(), types.end()}, ", ")));
  if (!choice.image.exist() && problems.empty()) problems.add(no_image_column(table, columns));
  const std::string caption = first_of(kCaptionColumns, columns);
  if (config.captions.empty() && !caption.empty()) choice.captions = {{"caption", caption}};
  for (const auto& one : choice.captions) check("captions: " + one.kind, one.field, false, true);
  if (!config.key_column.empty()) check("key_column", config.key_column, true, false);
  if (!config.label_column.empty()) check("label_column", config.label_column, true, false);
  problems.throw_if_any(subject_of(config));
  return choice;
}

// The names of a ClassLabel of the `datasets` package; empty if the column is not one.
std::vector<std::string> class_names_in(const std::string& huggingface, const std::string& column) {
  const auto json = parse_json(huggingface);
  std::vector<std::string> names;
  const auto feature = nlohmann::json::json_pointer("/info/features");
  if (!json.is_object() || !json.contains(feature)) return names;
  const auto& features = json[feature];
  const auto found = features.is_object() ? features.find(column) : features.end();
  if (found == features.end() || !found->is_object() || !found->contains("names")) return names;
  for (const auto& name : (*found)["names"])
    if (name.is_string()) names.push_back(name.get<std::string>());
  return names.size() == (*found)["names"].size() ? names : std::vector<std::string>();
}

// The folder that holds all of the files.
fs::path common_folder(const std::vector<fs::path>& files) {
  fs::path common = files.front().parent_path();
  for (const auto& file : files) {
    const fs::path folder = file.parent_path();
    const auto end = std::mismatch(common.begin(), common.end(), folder.begin(), folder.end()).first;
    fs::path shared;
    for (auto part = common.begin(); part != end; ++part) shared /= *part;
    common = shared;
  }
  return common;
}

class ParquetRows {
 public:
  ParquetRows(const SourceConfig& config, std::vector<fs::path> files)
      : table_(subject_of(config), std::move(files)),
        links_(config, roots_of(config, table_.files())),
        images_(config.images) {
    for (const auto& file : table_.files()) links_.admit(file);
    links_.throw_if_any();
    std::error_code error;
    base_ = fs::is_directory(config.path, error) ? config.path : common_folder(table_.files());
    choose(config);
  }

  static PlacedRows rows(const std::shared_ptr<ParquetRows>& self) {
    PlacedRows rows;
    rows.texts = [self](int64_t row, const std::string& column) {
      return self->texts_of(row, self->table_.choose(column));
    };
    if (self->bytes_ || self->key_) rows.image = [self](int64_t row) { return self->image(row); };
    return rows;
  }

  Listing list(const SourceConfig& config, ListingWatch& watch) {
    watch.reads(config.path);
    for (const auto& file : table_.files()) watch.reads(file), watch.reads(file.parent_path());
    PlacedListing rows{.type = "parquet", .size = table_.rows(), .class_names = class_names_};
    rows.has_captions = !captions_.empty() || config.label_column.empty() || !config.captions.empty();
    rows.merges_rows = !bytes_ && !key_;
    if (bytes_) rows.sizes = table_.sizes(*bytes_);
    rows.read = [this](int64_t row) { return read(row); };
    if (label_) rows.label = [this](int64_t row) { return label(row); };
    if (!bytes_) rows.look_at_image = [this](PlacedRow& row) { look_at_image(row); };
    rows.refuse = [this](const fs::path& link) { links_.admit(link); };
    auto listing = list_placed(config, rows, watch);
    listing.hint = hint_;
    links_.throw_if_any();
    return listing;
  }

 private:
  // A file that the config names may be a link; one in its folder may not lead out of it.
  static std::vector<fs::path> roots_of(const SourceConfig& config, const std::vector<fs::path>& files) {
    std::vector<fs::path> roots = {config.path};
    std::error_code error;
    if (!fs::is_directory(config.path, error))
      for (const auto& file : files) roots.insert(roots.end(), {file, file.parent_path()});
    if (!config.images.empty()) roots.push_back(config.images);
    return roots;
  }

  void choose(const SourceConfig& config) {
    const Choice choice = choose_columns(config, table_);
    const auto columns = table_.columns();
    hint_ = hint_of_columns(config, choice.captions, shown_columns(table_, columns));
    if (!choice.image.bytes.empty()) bytes_ = table_.choose(choice.image.bytes);
    if (!choice.image.path.empty()) path_ = table_.choose(choice.image.path);
    for (const auto& [kind, field] : choice.captions) captions_.emplace_back(kind, table_.choose(field));
    const bool has_key = columns.count(kKeyColumn) > 0 && table_.type_of(kKeyColumn) == "string";
    if (!config.key_column.empty())
      key_ = table_.choose(config.key_column);
    else if (bytes_ && has_key)
      key_ = table_.choose(kKeyColumn);
    if (!config.label_column.empty()) {
      label_ = table_.choose(config.label_column);
      class_names_ = class_names_in(table_.huggingface(), config.label_column);
    }
    table_.forget_others();
  }

  PlacedRow read(int64_t row) const {
    const FilePattern own{.path = table_.files()[table_.place_of(row).file]};
    PlacedRow result{.key = place_name(row), .file = own, .image_file = own};
    try {
      if (!bytes_) {
        result.key = path_key(row, result.key);
        result.image_path = file_of(result.key);
        if (!key_)
          result.image_file = {.path = images_.empty() ? base_ : images_, .form = FilePattern::kByKey};
      }
      if (key_) result.key = key_in(row);
      for (const auto& [kind, column] : captions_) {
        const auto texts = texts_of(row, column);
        for (size_t item = 0; item < texts.size(); ++item)
          result.captions.push_back({kind, table_.name_of(column), texts[item], item});
      }
    } catch (const ReadFault& fault) {
      result.fault = fault;
      result.captions.clear();
    }
    return result;
  }

  std::string place_name(int64_t row) const {
    const auto [file, number] = table_.place_of(row);
    return fmt::format("{}#{}", table_.files()[file].lexically_relative(base_).generic_string(), number);
  }

  std::string key_in(int64_t row) const {
    const auto cell = table_.cell(row, *key_);
    std::string key = cell.numbers.empty() ? text_in(row, *key_, "the key")
                                           : table_.number_text(*key_, cell.numbers.front());
    if (auto fault = clean_caption_text(key)) throw ReadFault{Reason::kBadRow, "its key: " + fault->detail};
    return key;
  }

  std::string text_in(int64_t row, size_t column, const char* what) const {
    auto cell = table_.cell(row, column);
    if (cell.texts.empty() || cell.texts.front().empty())
      throw ReadFault{Reason::kMissingField, fmt::format("{} is missing", what)};
    return std::move(cell.texts.front());
  }

  // The path below `images`, or below the folder of all files.
  std::string path_key(int64_t row, const std::string& name) const {
    const std::string& field = table_.name_of(*path_);
    const fs::path folder =
        images_.empty() ? table_.files()[table_.place_of(row).file].parent_path() : images_;
    const nlohmann::json fields = {{field, text_in(row, *path_, "the path of the image")}};
    std::string key = name;
    if (auto fault = path_in(fields, field, folder, key)) throw ReadFault(*fault);
    std::error_code error;
    if (key.find('\\') != std::string::npos && !fs::exists(folder / key, error))  // as Windows writes paths
      std::replace(key.begin(), key.end(), '\\', '/');
    const std::string below =
        images_.empty() ? (folder / key).lexically_relative(base_).generic_string() : key;
    const bool is_inside = !below.empty() && !below.starts_with("../");
    if (!is_inside)
      throw ReadFault{Reason::kPathOutside,
                      fmt::format("{} is not below {}", shortened(key), folder.string())};
    return below;
  }

  fs::path file_of(const std::string& key) const { return (images_.empty() ? base_ : images_) / key; }

  void look_at_image(PlacedRow& row) {
    struct stat status {};
    const fs::path& file = row.image_path;
    if (::stat(file.c_str(), &status) != 0) {
      check_machine(file, errno);
      if (errno == ENOENT || errno == ENOTDIR)
        row.fault = {Reason::kMissingFile, "missing file " + shortened(file.string())};
      else
        row.fault = {Reason::kUnreadableFile, std::strerror(errno)};
    } else if (!S_ISREG(status.st_mode)) {
      row.fault = {Reason::kUnreadableFile, "it is not a regular file"};
    } else if (status.st_size == 0) {
      row.fault = {Reason::kEmptyFile, "the file is empty"};
    } else {
      if (!links_.admit(file)) row.refused = file;
      row.image_bytes = uint64_t(status.st_size);
    }
  }

  std::vector<std::string> texts_of(int64_t row, size_t column) const {
    std::vector<std::string> all;
    for (const auto& cell : table_.cell(row, column).texts) {
      auto texts = texts_in(nlohmann::json(cell));
      if (texts) std::move(texts->begin(), texts->end(), std::back_inserter(all));
    }
    return all;
  }

  std::string label(int64_t row) const {
    const auto cell = table_.cell(row, *label_);
    if (!cell.numbers.empty()) return table_.number_text(*label_, cell.numbers.front());
    return cell.texts.empty() ? "" : cell.texts.front();
  }

  std::string image(int64_t row) {
    if (!bytes_) return read_bytes(file_of(path_key(row, "")), 0, 0);
    auto cell = table_.cell(row, *bytes_);
    if (cell.texts.empty() && path_) return file_in_row(row);
    if (cell.texts.empty()) throw ReadFault{Reason::kMissingField, "the row has no image"};
    const uint64_t bytes = cell.texts.front().size(), limit = formats::DecodeLimits().file_bytes;
    if (bytes == 0) throw ReadFault{Reason::kEmptyFile, "the image is empty"};
    if (bytes > limit)
      throw ReadFault{Reason::kImageTooLarge,
                      fmt::format("{} bytes are more than the limit of {} for an image", bytes, limit)};
    return std::move(cell.texts.front());
  }

  // Of Hugging Face's structure {bytes, path}, bytes may be null and path the name of a file.
  std::string file_in_row(int64_t row) {
    const fs::path file = file_of(path_key(row, ""));
    if (!links_.admit(file))
      throw ReadFault{Reason::kPathOutside, file.string() + " is a link that leads out of the source"};
    return read_bytes(file, 0, 0);
  }

  ParquetTable table_;
  Links links_;
  fs::path images_, base_;
  std::optional<size_t> bytes_, path_, key_, label_;  // numbers of chosen columns
  std::vector<std::pair<std::string, size_t>> captions_;
  std::vector<std::string> class_names_;
  std::string hint_;  // about missing captions
};

}  // namespace

std::vector<fs::path> parquet_files(const SourceConfig& config) {
  auto files = find_parquet(config.path);
  if (files.empty())
    throw UserError(
        fmt::format("{}: found no .parquet file of that name or in that folder.", subject_of(config)));
  std::error_code error;
  if (fs::is_directory(config.path, error)) require_one_whole_split(subject_of(config), config.path, files);
  return files;
}

ListedSource listed_parquet(const SourceConfig& config) {
  const auto rows = std::make_shared<ParquetRows>(config, parquet_files(config));
  return {.list = [rows](const SourceConfig& own, ListingWatch& watch) { return rows->list(own, watch); },
          .files = parquet_files,
          .compares_names = true,
          .rows = std::make_shared<const PlacedRows>(ParquetRows::rows(rows))};
}

}  // namespace pixart::data
