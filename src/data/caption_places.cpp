#include "caption_places.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <optional>

#include "caption_table.h"
#include "caption_text.h"
#include "json_text.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "pixart/formats/crc32c.h"
#include "placed_rows.h"
#include "read_bytes.h"

namespace pixart::data {

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

// A file of captions. Reads that follow each other take their bytes from one that is larger.
class CaptionFile {
 public:
  explicit CaptionFile(const std::filesystem::path& path) : file_(path) {}

  std::string read(uint64_t offset, uint64_t bytes) {
    constexpr uint64_t kAhead = uint64_t{64} << 10;
    const bool follows = offset >= end_ && offset - end_ < kAhead && bytes < kAhead;
    end_ = offset + bytes;
    if (offset < begin_ || end_ > begin_ + ahead_.size()) {
      if (!follows) return whole(file_.read_some(offset, bytes), bytes);
      begin_ = offset;
      ahead_ = file_.read_some(offset, kAhead);
    }
    return whole(ahead_.substr(offset - begin_, bytes), bytes);
  }

 private:
  static std::string whole(std::string found, uint64_t bytes) {
    if (found.size() < bytes) throw ReadFault{Reason::kUnreadableFile, "the file is shorter than it was"};
    return found;
  }
  OpenedFile file_;
  uint64_t end_ = UINT64_MAX;  // of the last read
  uint64_t begin_ = 0;         // of ahead_ in the file
  std::string ahead_;
};

// Files that this thread read captions from last.
class OpenFiles {
 public:
  CaptionFile& get(uint64_t index, uint32_t file, const std::filesystem::path& path) {
    for (auto& slot : slots_)
      if (slot.file && slot.index == index && slot.number == file) return *slot.file;
    Slot& slot = slots_[next_++ % slots_.size()];
    slot.file.emplace(path);
    slot.index = index, slot.number = file;
    return *slot.file;
  }
  void forget_all() {
    for (auto& slot : slots_) slot.file.reset();
  }

 private:
  struct Slot {
    uint64_t index = 0;
    uint32_t number = 0;
    std::optional<CaptionFile> file = {};
  };
  std::array<Slot, 8> slots_;
  size_t next_ = 0;
};

thread_local OpenFiles open_files;

bool is_in_row(const CaptionWay& way) { return way.as == ReadAs::kPlaced || way.as == ReadAs::kParquet; }

// The value of the place in the bytes there.
nlohmann::json value_in(const CaptionWay& way, const std::string& bytes) {
  if (way.as == ReadAs::kCsv) {
    size_t column = 0;
    std::from_chars(way.field.data() + 1, way.field.data() + way.field.size(), column);
    auto fields = csv_fields(bytes, way.field[0]);
    return column < fields.size() ? nlohmann::json(std::move(fields[column])) : nlohmann::json();
  }
  const auto object = parse_json(bytes);
  const auto found = object.is_object() ? object.find(way.field) : object.end();
  return found == object.end() ? nlohmann::json() : *found;
}

// The text, cleaned; "" if it is not there any more.
std::string text_in(const CaptionWay& way, const CaptionPlace& place, std::string bytes) {
  std::string text;
  if (way.as == ReadAs::kJson || way.as == ReadAs::kCsv) {
    const auto texts = texts_in(value_in(way, bytes));
    if (texts && place.item < texts->size()) text = (*texts)[place.item];
  } else if (way.as == ReadAs::kFolderText || way.as == ReadAs::kFolderLine) {
    text = text_of_caption_file(bytes, way.as == ReadAs::kFolderLine);
  } else {
    text = std::move(bytes);
  }
  clean_caption_text(text);
  return text;
}

}  // namespace

std::string text_of_caption_file(const std::string& text, bool first_line) {
  std::string caption;
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (caption.empty()) {
      caption = trimmed(line, " \t\r");
      if (!caption.empty() && first_line) break;
    } else if (!is_translation(line)) {
      caption += "\n" + std::string(line.substr(0, line.find_last_not_of(" \t\r") + 1));
    }
  }
  return caption;
}

uint32_t checksum_of(const std::vector<uint32_t>& captions) {
  return formats::crc32c(
      {reinterpret_cast<const char*>(captions.data()), captions.size() * sizeof(uint32_t)});
}

CaptionTexts::CaptionTexts(const SourceIndex& index, const PlacedRows* rows) : index_(index), rows_(rows) {
  static std::atomic<uint64_t> count{0};
  number_ = ++count;
}

CaptionTexts::~CaptionTexts() = default;

const CaptionTable& CaptionTexts::table_of(const CaptionWay& way) const {
  const std::scoped_lock lock(mutex_);
  auto& table = tables_[{way.file, way.field}];
  if (!table) table = std::make_unique<CaptionTable>(index_.tables.files[way.file].path, way.field);
  return *table;
}

std::string CaptionTexts::text_in_row(const CaptionPlace& place) const {
  const CaptionWay& way = index_.tables.ways[place.way];
  const auto row = int64_t(place.offset);
  std::vector<std::string> texts;
  if (way.as == ReadAs::kPlaced) {
    if (rows_ != nullptr) texts = rows_->texts(row, way.field);
  } else if (const auto& table = table_of(way); row < table.rows()) {
    texts = table.texts(row);
  }
  return place.item < texts.size() ? texts[place.item] : std::string();
}

std::string CaptionTexts::bytes_at(const CaptionPlace& place, std::string_view key) const {
  const CaptionWay& way = index_.tables.ways[place.way];
  if (is_in_row(way)) return text_in_row(place);
  if (way.as == ReadAs::kStored) return std::string(index_.texts.substr(place.offset, place.bytes));
  const FilePattern& file = index_.tables.files[way.file];
  if (file.form != FilePattern::kOne) return read_bytes(path_of(file, key), place.offset, place.bytes);
  return read_again(file.path, [&] {
    try {
      return open_files.get(number_, way.file, file.path).read(place.offset, place.bytes);
    } catch (...) {
      open_files.forget_all();
      throw;
    }
  });
}

std::vector<std::string> CaptionTexts::of(int64_t row) const {
  std::vector<std::string> texts;
  std::vector<uint32_t> checksums;
  const CaptionPlace* place = nullptr;
  std::string bytes, fault;
  const auto key = index_.key(row);
  for (const auto& next : index_.captions_of(row)) {
    if (next.is_blank != 0) continue;
    const bool is_read = place != nullptr && place->offset == next.offset && place->bytes == next.bytes &&
                         index_.tables.ways[place->way].file == index_.tables.ways[next.way].file &&
                         index_.tables.ways[next.way].as != ReadAs::kStored &&
                         !is_in_row(index_.tables.ways[next.way]);
    place = &next;
    try {
      if (!is_read) bytes = bytes_at(next, key);
    } catch (const ReadFault& found) {
      fault = ": " + found.detail;
      break;
    }
    texts.push_back(text_in(index_.tables.ways[next.way], next, bytes));
    checksums.push_back(formats::crc32c(texts.back()));
  }
  if (place == nullptr || (fault.empty() && checksum_of(checksums) == index_.row(row).checksum)) return texts;
  const auto file = path_of(index_.tables.files[index_.tables.ways[place->way].file], key);
  throw SourceChanged(
      fmt::format("the captions of {} in {} have changed while or since the source was listed{}. Start the "
                  "command again: it lists the source anew.",
                  printable(key), file.string(), fault));
}

}  // namespace pixart::data
