// A source of MDS shards (mds_shard.h). The image is a value of encoding jpeg, png, pil or bytes; captions are texts, or
// JSON texts and lists of texts; labels are whole numbers or texts. A sample's key is <shard>#<number>, or the value of
// key_column. Shards have the order of the index.
#include <algorithm>
#include <array>

#include "caption_text.h"
#include "json_text.h"
#include "links.h"
#include "mds_shard.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
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

// What values of an encoding can be.
enum class ColumnKind { kImage, kBytes, kText, kJson, kNumber, kOther };

constexpr std::array<std::pair<const char*, int>, 8> kNumbers = {{{"int8", 1},
                                                                  {"int16", 2},
                                                                  {"int32", 4},
                                                                  {"int64", 8},
                                                                  {"uint8", 1},
                                                                  {"uint16", 2},
                                                                  {"uint32", 4},
                                                                  {"uint64", 8}}};

// The bytes of a whole number; 0 for other encodings.
int bytes_of_number(const std::string& encoding) {
  if (encoding == "int") return 8;
  for (const auto& [name, bytes] : kNumbers)
    if (encoding == name) return bytes;
  return 0;
}

ColumnKind kind_of(const std::string& encoding) {
  if (encoding == "jpeg" || encoding == "png" || encoding == "pil") return ColumnKind::kImage;
  if (encoding == "bytes") return ColumnKind::kBytes;
  if (encoding == "str" || encoding == "str_int") return ColumnKind::kText;
  if (encoding == "json") return ColumnKind::kJson;
  return bytes_of_number(encoding) > 0 ? ColumnKind::kNumber : ColumnKind::kOther;
}

bool is_image(ColumnKind kind) { return kind == ColumnKind::kImage || kind == ColumnKind::kBytes; }
bool is_caption(ColumnKind kind) { return kind == ColumnKind::kText || kind == ColumnKind::kJson; }
bool is_label(ColumnKind kind) { return kind == ColumnKind::kText || kind == ColumnKind::kNumber; }

// Little-endian, with two's complement.
std::string number_text(const std::string& bytes, const std::string& encoding) {
  const int count = bytes_of_number(encoding);
  if (bytes.size() != size_t(count))
    throw ReadFault{Reason::kBadLabel,
                    fmt::format("{} bytes for a number of type {}", bytes.size(), encoding)};
  const uint64_t value = from_little_endian(bytes, 0, count);
  if (encoding.starts_with('u')) return std::to_string(value);
  const int unused = 64 - 8 * count;
  return std::to_string(int64_t(value << unused) >> unused);
}

// Pixels as Pillow holds them: width, height and the length of the mode (uint32), the mode, the pixels.
std::string png_of_pixels(const std::string& bytes) {
  const auto damaged = [](const std::string& detail) { return ReadFault{Reason::kDamagedImage, detail}; };
  if (bytes.size() < 12) throw damaged("its pixels lack their header");
  const uint64_t width = from_little_endian(bytes, 0, 4), height = from_little_endian(bytes, 4, 4),
                 mode_bytes = from_little_endian(bytes, 8, 4);
  if (mode_bytes > bytes.size() - 12) throw damaged("its pixels lack their mode");
  const std::string mode = bytes.substr(12, mode_bytes);
  if (mode != "RGB" && mode != "L")
    throw ReadFault{Reason::kUnsupportedImage,
                    "pixels of this mode of Pillow are not read; only RGB and L are"};
  const uint64_t channels = mode == "L" ? 1 : 3, have = bytes.size() - 12 - mode_bytes;
  if (width == 0 || height == 0 || width > have || height > have || width * height * channels != have)
    throw damaged(fmt::format("{} bytes for {} x {} pixels of mode {}", have, width, height, mode));
  Image image{int(width), int(height)};
  const char* pixels = bytes.data() + 12 + mode_bytes;
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(pixels[channels == 1 ? i / 3 : i]);
  return formats::encode_png(image);
}

// The columns of all shards by name; the encoding is that of the first shard that has it.
std::vector<MdsColumn> columns_of(const std::vector<MdsShard>& shards) {
  std::vector<MdsColumn> all;
  for (const auto& shard : shards)
    for (const auto& column : shard.columns)
      if (find_named(all, column.name) == nullptr) all.push_back(column);
  return all;
}

std::string default_image(const std::vector<MdsColumn>& columns) {
  for (const char* name : kImageColumns)
    if (const auto* column = find_named(columns, name);
        column != nullptr && is_image(kind_of(column->encoding)))
      return name;
  std::vector<std::string> images;
  for (const auto& column : columns)
    if (kind_of(column.encoding) == ColumnKind::kImage) images.push_back(column.name);
  return images.size() == 1 ? images.front() : "";
}

std::string default_caption(const std::vector<MdsColumn>& columns) {
  for (const char* name : kCaptionColumns)
    if (const auto* column = find_named(columns, name);
        column != nullptr && is_caption(kind_of(column->encoding)))
      return name;
  return "";
}

// A column that the config chooses, and its place in each shard.
struct Chosen {
  std::string name = {};
  std::vector<size_t> places = {};
};

class Chooser {
 public:
  explicit Chooser(const std::vector<MdsShard>& shards) : shards_(shards), columns_(columns_of(shards)) {}
  const std::vector<MdsColumn>& columns() const { return columns_; }

  Chosen choose(const std::string& key, const std::string& name, bool (*fits)(ColumnKind),
                const char* expected) {
    Chosen chosen{.name = name};
    const auto* column = find_named(columns_, name);
    if (column == nullptr) {
      problems_.add(no_such_column(key, name, shown(), names_of(columns_)));
      return chosen;
    }
    for (const auto& shard : shards_) {
      const auto* own = find_named(shard.columns, name);
      if (own == nullptr || !fits(kind_of(own->encoding))) {
        problems_.add(fmt::format("{}: the column '{}' {} in {}; expected {}", key, name,
                                  own == nullptr ? "is missing" : "has the encoding " + own->encoding,
                                  shard.name, expected));
        return chosen;
      }
      chosen.places.push_back(size_t(own - shard.columns.data()));
    }
    return chosen;
  }
  std::vector<std::string> shown() const {
    std::vector<std::string> shown;
    for (const auto& column : columns_) shown.push_back(fmt::format("{} ({})", column.name, column.encoding));
    return shown;
  }
  Problems& problems() { return problems_; }

 private:
  const std::vector<MdsShard>& shards_;
  std::vector<MdsColumn> columns_;
  Problems problems_;
};

class MdsRows {
 public:
  explicit MdsRows(const SourceConfig& config) : shards_(list_mds(subject_of(config), config.path)) {
    require_one_whole_split(subject_of(config), config.path, files_below(config));
    Links links(config, {config.path});
    for (const auto& shard : shards_) {
      links.admit(shard.file);
      first_.push_back(size_);
      size_ += shard.samples;
    }
    links.throw_if_any();
    if (size_ > 0) choose(config);  // the index of no shards names no columns
  }

  static PlacedRows rows(const std::shared_ptr<MdsRows>& self) {
    return {.texts = [self](int64_t row, const std::string& column) { return self->texts(row, column); },
            .image = [self](int64_t row) { return self->image(row); }};
  }

  Listing list(const SourceConfig& config, ListingWatch& watch) const {
    for (const auto& shard : shards_)
      watch.reads(shard.file), watch.reads(shard.file.parent_path() / "index.json");
    watch.reads(config.path), watch.reads(config.path / "index.json");
    PlacedListing rows{.type = "mds", .size = size_};
    rows.has_captions = !captions_.empty() || !label_ || !config.captions.empty();
    rows.read = [this](int64_t row) { return read(row); };
    if (label_) rows.label = [this](int64_t row) { return label(row); };
    auto listing = list_placed(config, rows, watch);
    listing.hint = hint_;
    return listing;
  }

 private:
  // The shards, unless an index in the folder itself names those of its sub-folders.
  std::vector<fs::path> files_below(const SourceConfig& config) const {
    std::vector<fs::path> files;
    for (const auto& shard : shards_) files.push_back(shard.file);
    return has_mds_index(config.path) ? std::vector<fs::path>() : files;
  }

  void choose(const SourceConfig& config) {
    Chooser chooser(shards_);
    const std::string image =
        config.image_column.empty() ? default_image(chooser.columns()) : config.image_column;
    if (image.empty())
      chooser.problems().add(
          fmt::format("no column holds one image under a usual name ({}). Set image_column to one of: {}",
                      join({kImageColumns.begin(), kImageColumns.end()}, ", "), name_some(chooser.shown())));
    else
      image_ = chooser.choose("image_column", image, is_image, "jpeg, png, pil or bytes");
    auto fields = configured_captions(config);
    const std::string caption = default_caption(chooser.columns());
    if (config.captions.empty() && !caption.empty()) fields = {{"caption", caption}};
    hint_ = hint_of_columns(config, fields, chooser.shown());
    for (const auto& [kind, field] : fields)
      captions_.emplace_back(kind, chooser.choose("captions: " + kind, field, is_caption, "str or json"));
    if (!config.label_column.empty())
      label_ = chooser.choose("label_column", config.label_column, is_label, "a whole number or str");
    if (!config.key_column.empty())
      key_ = chooser.choose("key_column", config.key_column, is_label, "str or a whole number");
    chooser.problems().throw_if_any(subject_of(config));
  }

  struct Sample {
    const MdsShard& shard;
    size_t number;  // of the shard
    int64_t index;  // in the shard
  };
  Sample sample(int64_t row) const {
    const auto number = size_t(std::upper_bound(first_.begin(), first_.end(), row) - first_.begin()) - 1;
    return {shards_[number], number, row - first_[number]};
  }

  // The value of a column, as a text.
  static std::string text(const Sample& at, const std::vector<MdsPlace>& places, const Chosen& column) {
    const size_t place = column.places[at.number];
    const std::string& encoding = at.shard.columns[place].encoding;
    std::string bytes = at.shard.read(places[place]);
    return bytes_of_number(encoding) > 0 ? number_text(bytes, encoding) : bytes;
  }

  PlacedRow read(int64_t row) const {
    const Sample at = sample(row);
    const FilePattern file{.path = at.shard.file};
    PlacedRow result{.key = fmt::format("{}#{}", at.shard.name, at.index), .file = file, .image_file = file};
    try {
      const auto places = at.shard.places_of(at.index);
      const MdsPlace& image = places[image_.places[at.number]];
      result.offset = image.offset, result.image_bytes = image.bytes;
      if (image.bytes == 0) throw ReadFault{Reason::kEmptyFile, "the image is empty"};
      if (key_) take_key(text(at, places, *key_), result);
      for (const auto& [kind, column] : captions_) add_captions(at, places, kind, column, result.captions);
    } catch (const ReadFault& fault) {
      result.fault = fault;
      result.captions.clear();
    }
    return result;
  }

  static void take_key(std::string key, PlacedRow& row) {
    if (auto fault = clean_caption_text(key)) throw ReadFault{Reason::kBadRow, "its key: " + fault->detail};
    if (key.empty()) throw ReadFault{Reason::kMissingField, "its key is empty"};
    row.key = std::move(key);
  }

  static void add_captions(const Sample& at, const std::vector<MdsPlace>& places, const std::string& kind,
                           const Chosen& column, std::vector<PlacedText>& captions) {
    const uint64_t bytes = places[column.places[at.number]].bytes;
    if (bytes > kLargestCaption)
      throw ReadFault{Reason::kCaptionTooLong,
                      fmt::format("{}: {} bytes, more than {}", kind, bytes, kLargestCaption)};
    const auto texts = texts_at(at, places, column);
    for (size_t item = 0; item < texts.size(); ++item)
      captions.push_back({kind, column.name, texts[item], item});
  }

  static std::vector<std::string> texts_at(const Sample& at, const std::vector<MdsPlace>& places,
                                           const Chosen& column) {
    const std::string value = text(at, places, column);
    const bool is_json = at.shard.columns[column.places[at.number]].encoding == "json";
    auto texts = texts_in(is_json ? parse_json(value) : nlohmann::json(value));
    if (!texts)
      throw ReadFault{Reason::kBadRow, fmt::format("'{}': expected a text or a list of texts", column.name)};
    return *std::move(texts);
  }

  std::vector<std::string> texts(int64_t row, const std::string& name) const {
    const Sample at = sample(row);
    for (const auto& [kind, column] : captions_)
      if (column.name == name) return texts_at(at, at.shard.places_of(at.index), column);
    return {};
  }

  std::string label(int64_t row) const {
    const Sample at = sample(row);
    return trimmed(text(at, at.shard.places_of(at.index), *label_));
  }

  std::string image(int64_t row) const {
    const Sample at = sample(row);
    const size_t place = image_.places[at.number];
    std::string bytes = at.shard.read(at.shard.places_of(at.index)[place]);
    if (bytes.empty()) throw ReadFault{Reason::kEmptyFile, "the image is empty"};
    return at.shard.columns[place].encoding == "pil" ? png_of_pixels(bytes) : bytes;
  }

  std::vector<MdsShard> shards_;
  std::vector<int64_t> first_;  // row of each shard
  int64_t size_ = 0;
  Chosen image_;
  std::vector<std::pair<std::string, Chosen>> captions_;
  std::optional<Chosen> label_, key_;
  std::string hint_;  // about missing captions
};

}  // namespace

ListedSource listed_mds(const SourceConfig& config) {
  require_folder(config);
  const auto rows = std::make_shared<MdsRows>(config);
  return {.list = [rows](const SourceConfig& own, ListingWatch& watch) { return rows->list(own, watch); },
          .rows = std::make_shared<const PlacedRows>(MdsRows::rows(rows))};
}

}  // namespace pixart::data
