#include "pixart/data/table_rows.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>

#include "file_ending.h"
#include "json_text.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestRow = uint64_t{16} << 20;
constexpr int kEnd = std::char_traits<char>::eof();

// What a file is that holds no rows, and what to do, by its first bytes; "" if it may hold rows.
std::string no_table(std::string_view start) {
  struct Mark {
    std::string_view bytes, what;
  };
  static constexpr std::array<Mark, 7> kMarks = {
      {{"\x1f\x8b", "is compressed. Unpack it once with gunzip."},
       {"\x28\xb5\x2f\xfd", "is compressed. Unpack it once with unzstd."},
       {"BZh91AY&SY", "is compressed. Unpack it once with bunzip2."},
       {"\xfd"
        "7zXZ",
        "is compressed. Unpack it once with unxz."},
       {"PK\3\4", "is a ZIP archive (a spreadsheet .xlsx is one too). Unpack it, or save the sheet as CSV."},
       {"PAR1", "is a Parquet file. Let its name end in .parquet."},
       {"version https://git-lfs", "is a pointer of Git LFS. Fetch the file itself: git lfs pull."}}};
  for (const auto& mark : kMarks)
    if (start.starts_with(mark.bytes)) return std::string(mark.what);
  const size_t text = std::min(start.find_first_not_of(kBlanks), start.size());
  const std::string begin = ascii_lower(std::string(start.substr(text, 16)));
  if (begin.starts_with("<!doctype html") || begin.starts_with("<html"))
    return "is an HTML page, perhaps the error page of a download. Fetch the file again.";
  return "";
}

// Reads the bytes of a file or a text and counts them. Lines end in a line feed, or in a file that begins without one
// in a carriage return.
class Bytes {
 public:
  explicit Bytes(const fs::path& path) : source_(open(path)) {
    if (begins_with({0xFF, 0xFE}) || begins_with({0xFE, 0xFF}))
      throw UserError(fmt::format("{} is UTF-16. Save it as UTF-8.", path.string()));
    begins_with({0xEF, 0xBB, 0xBF});  // passes over a byte-order mark
    if (!has_more()) return;
    const std::string_view start = std::string_view(buffer_).substr(next_, filled_ - next_);
    if (const auto other = no_table(start); !other.empty())
      throw UserError(fmt::format("{} {}", path.string(), other));
    // Old programs for Macs end a line so. A last byte \r may have its \n in the next piece.
    if (start.find('\n') == std::string_view::npos && start.find('\r') < start.size() - 1) line_end_ = '\r';
  }
  struct Text {
    const std::string& text;
  };
  explicit Bytes(Text text)
      : source_(std::make_unique<std::stringbuf>(text.text, std::ios::in)),
        capacity_(std::min(kBuffer, text.text.size() + 1)) {}
  int peek() { return has_more() ? uint8_t(buffer_[next_]) : kEnd; }
  int get() {
    const int byte = peek();
    if (byte == kEnd) return byte;
    ++next_;
    if (byte == line_end_) ++line_;
    return byte;
  }
  // Passes over `mark` if the bytes begin with it.
  bool begins_with(std::initializer_list<int> mark) {
    const uint64_t begin = at();
    if (std::all_of(mark.begin(), mark.end(), [this](int byte) { return get() == byte; })) return true;
    go_to(begin, 1);
    return false;
  }
  void go_to(uint64_t at, int64_t line) {
    source_->pubseekpos(std::streamoff(at));
    begin_ = at;
    next_ = filled_ = 0;
    line_ = line;
  }
  // Appends the rest of the line and passes over its end; false if `text` would hold more than `most` bytes.
  bool take_line(std::string& text, size_t most) {
    while (has_more()) {
      const std::string_view here = rest_of_line();
      if (text.size() + here.size() > most) return false;
      text += here;
      next_ += here.size();
      if (next_ < filled_) return get(), true;
    }
    return true;
  }
  void skip_line() {
    while (has_more()) {
      next_ += rest_of_line().size();
      if (next_ < filled_) return void(get());
    }
  }
  uint64_t at() const { return begin_ + next_; }
  int64_t line() const { return line_; }
  char line_end() const { return line_end_; }

 private:
  static constexpr size_t kBuffer = size_t{1} << 16;

  static std::unique_ptr<std::streambuf> open(const fs::path& path) {
    require_no_pipe(path);
    auto buffer = std::make_unique<std::filebuf>();
    if (buffer->open(path, std::ios::in | std::ios::binary) == nullptr)
      throw UserError(fmt::format("cannot read {}.", path.string()));
    return buffer;
  }
  bool has_more() {
    if (next_ < filled_) return true;
    begin_ += filled_;
    next_ = filled_ = 0;
    buffer_.resize(capacity_);
    filled_ = size_t(source_->sgetn(buffer_.data(), std::streamsize(capacity_)));
    return filled_ > 0;
  }
  // What the buffer has of the line, without its end.
  std::string_view rest_of_line() const {
    const std::string_view here(buffer_.data() + next_, filled_ - next_);
    return here.substr(0, here.find(line_end_));
  }

  std::unique_ptr<std::streambuf> source_;
  size_t capacity_ = kBuffer;
  std::string buffer_;            // of the bytes from begin_ on
  size_t next_ = 0, filled_ = 0;  // in the buffer
  uint64_t begin_ = 0;
  int64_t line_ = 1;
  char line_end_ = '\n';
};

std::string too_long() { return fmt::format("the row is larger than {}", human_bytes(kLargestRow)); }

// --- JSON lines

void parse_line(const std::string& line, TableRow& row) {
  if (!is_utf8(line)) {
    row.fault = "the row is not UTF-8";
  } else if (line.find('\0') != std::string::npos) {
    row.fault = "the row is not JSON: it holds a NUL byte";
  } else if (nesting_of(line) > kDeepestNesting) {
    row.fault = fmt::format("lists or objects are nested more than {} deep", kDeepestNesting);
  } else {
    row.fields = parse_json(line);
    if (row.fields.is_discarded()) row.fault = "the row is not JSON";
    if (!row.fields.is_discarded() && !row.fields.is_object())
      row.fault = fmt::format("expected a JSON object, got {}", row.fields.type_name());
  }
  if (!row.fault.empty()) row.fields = nlohmann::json::object();
}

struct Line {
  TableRow row = {};
  std::string text = {};
};

// The next lines that are not blank and begin before `end`: at most `most`, of about four mebibytes.
std::vector<Line> next_lines(Bytes& bytes, size_t most, uint64_t end = UINT64_MAX) {
  constexpr uint64_t kMostBytes = uint64_t{4} << 20;
  std::vector<Line> lines;
  const uint64_t begin = bytes.at();
  while (bytes.peek() != kEnd && bytes.at() < end && lines.size() < most && bytes.at() - begin < kMostBytes) {
    Line line{.row = {.offset = bytes.at(), .line = bytes.line()}};
    const bool is_whole = bytes.take_line(line.text, kLargestRow);
    line.row.bytes = is_whole ? line.text.size() : kLargestRow + 1;
    if (!is_whole) {
      line.row.fault = too_long();
      bytes.skip_line();
    }
    if (!is_whole || line.text.find_first_not_of(" \t\r") != std::string::npos)
      lines.push_back(std::move(line));
  }
  return lines;
}

// Lines are parsed on several threads and taken in their order.
void read_json_lines(Bytes& bytes, const std::function<bool(TableRow&)>& take) {
  constexpr size_t kLines = 256, kMostLines = 16 * kLines;
  for (size_t most = kLines; bytes.peek() != kEnd; most = std::min(2 * most, kMostLines)) {
    auto lines = next_lines(bytes, most);
    for_each_in_parallel(int64_t((lines.size() + kLines - 1) / kLines), [&](int64_t block) {
      const size_t end = std::min((size_t(block) + 1) * kLines, lines.size());
      for (size_t i = size_t(block) * kLines; i < end; ++i)
        if (lines[i].row.fault.empty()) parse_line(lines[i].text, lines[i].row);
    });
    for (auto& line : lines)
      if (!take(line.row)) return;
  }
}

// --- a JSON list

// Reads the text of an entry up to the comma or bracket that ends it, which is returned; kEnd if the file ends.
int read_entry(Bytes& bytes, std::string& text) {
  bool is_text = false;
  int depth = 0;
  for (int byte = bytes.get(); byte != kEnd; byte = bytes.get()) {
    if (!is_text && depth == 0 && (byte == ',' || byte == ']')) return byte;
    if (text.size() <= kLargestRow) text += char(byte);
    if (is_text && byte == '\\') {
      const int escaped = bytes.get();
      if (escaped != kEnd && text.size() <= kLargestRow) text += char(escaped);
    }
    if (byte == '"') is_text = !is_text;
    if (!is_text && (byte == '[' || byte == '{')) ++depth;
    if (!is_text && (byte == ']' || byte == '}') && depth > 0) --depth;
  }
  return kEnd;
}

int skip_blanks(Bytes& bytes) {
  while (bytes.peek() == ' ' || bytes.peek() == '\t' || bytes.peek() == '\n' || bytes.peek() == '\r')
    bytes.get();
  return bytes.peek();
}

void read_list(Bytes& bytes, const fs::path& path, const std::function<void(TableRow&)>& take) {
  const auto damaged = [&](uint64_t begin) {
    return UserError(
        fmt::format("{} is not JSON or is cut off; the last entry that can be read begins at byte {}.",
                    path.string(), begin));
  };
  if (skip_blanks(bytes) == kEnd) throw damaged(0);
  if (bytes.get() != '[')
    throw UserError(fmt::format("{} is not a list of {{path, prompt}}.", path.string()));
  if (skip_blanks(bytes) == ']') return;
  for (int end = ','; end == ',';) {
    skip_blanks(bytes);
    TableRow row{.offset = bytes.at(), .line = bytes.line()};
    std::string text;
    end = read_entry(bytes, text);
    if (end == kEnd) throw damaged(row.offset);
    row.bytes = bytes.at() - row.offset - 1;
    if (text.size() > kLargestRow)
      row.fault = too_long();
    else
      parse_line(text, row);
    take(row);
  }
  if (skip_blanks(bytes) != kEnd) throw damaged(bytes.at());
}

// --- CSV

class Csv {
 public:
  Csv(Bytes& bytes, char separator) : bytes_(bytes), separator_(separator) {}

  // Reads the next record's fields; false at the end of the file. Sets the offset, line and fault of `row`.
  bool next(TableRow& row, std::vector<std::string>& fields) {
    skip_empty_lines();
    if (bytes_.peek() == kEnd) return false;
    row.offset = bytes_.at();
    row.line = bytes_.line();
    fields.clear();
    row.fault = read(row.offset, fields);
    row.bytes = bytes_.at() - row.offset;
    if (row.fault.empty()) return true;
    bytes_.go_to(row.offset, row.line);
    bytes_.skip_line();
    return true;
  }

 private:
  void skip_empty_lines() {
    while (bytes_.peek() == '\n' || bytes_.peek() == '\r') bytes_.get();
  }

  std::string read(uint64_t begin, std::vector<std::string>& fields) {
    enum { kBegin, kPlain, kQuoted, kBehindQuote } state = kBegin;
    std::string field;
    while (bytes_.at() - begin <= kLargestRow) {
      const int byte = bytes_.get();
      if (state == kQuoted) {
        if (byte == kEnd) return "a quote is opened and never closed";
        if (byte != '"') {
          field += char(byte);
        } else if (bytes_.peek() == '"') {
          field += char(bytes_.get());
        } else {
          state = kBehindQuote;
        }
      } else if (byte == separator_ || byte == bytes_.line_end() || byte == kEnd) {
        if (state == kPlain && byte != separator_ && field.ends_with('\r')) field.pop_back();
        fields.push_back(std::move(field));
        if (byte != separator_) return "";
        field.clear();
        state = kBegin;
      } else if (state == kBehindQuote) {
        if (byte != '\r' || (bytes_.peek() != '\n' && bytes_.peek() != kEnd))
          return "text follows a closing quote; quotes within a quoted field must be doubled";
      } else if (state == kBegin && byte == '"') {
        state = kQuoted;
      } else {
        field += char(byte);
        state = kPlain;
      }
    }
    return too_long();
  }

  Bytes& bytes_;
  int separator_;
};

// Reads a line of at most `most` bytes.
std::string read_line(Bytes& bytes, size_t most) {
  std::string line;
  for (int byte = bytes.get(); byte != bytes.line_end() && byte != kEnd && line.size() < most;
       byte = bytes.get())
    line += char(byte);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

int64_t count_unquoted(const std::string& line, char wanted) {
  bool is_quoted = false;
  int64_t count = 0;
  for (const char c : line) {
    if (c == '"') is_quoted = !is_quoted;
    if (c == wanted && !is_quoted) ++count;
  }
  return count;
}

// Whether the first row, with this separator, names a column of images or captions as most tables do.
bool names_usual_column(const std::string& first, char separator) {
  const auto names = csv_fields(first, separator);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    const std::set<std::string> column = {trimmed(name, " \t")};
    return !first_of(kImageColumns, column).empty() || !first_of(kCaptionColumns, column).empty();
  });
}

// What separates the fields: `usual`, unless the first row shows something else. Passes over a line sep=X.
char separator_of(Bytes& bytes, char usual) {
  constexpr size_t kMostOfHeader = size_t{1} << 16;
  const uint64_t begin = bytes.at();
  const std::string first = read_line(bytes, kMostOfHeader);
  if (first.size() == 5 && (first.starts_with("sep=") || first.starts_with("SEP="))) return first[4];
  bytes.go_to(begin, 1);
  constexpr std::array<char, 4> kSeparators = {',', ';', '\t', '|'};
  if (count_unquoted(first, usual) > 0) {
    if (names_usual_column(first, usual)) return usual;
    for (const char other : kSeparators)
      if (count_unquoted(first, other) > 0 && names_usual_column(first, other)) return other;
    return usual;
  }
  char best = usual;
  for (const char other : kSeparators)
    if (count_unquoted(first, other) > count_unquoted(first, best)) best = other;
  return best;
}

void check_header(const std::vector<std::string>& names, std::string fault, const fs::path& path) {
  std::set<std::string> seen;
  for (const auto& name : names) {
    if (fault.empty() && !is_utf8(name)) fault = "it is not UTF-8";
    if (fault.empty() && !seen.insert(name).second) fault = fmt::format("column '{}' is named twice", name);
  }
  if (!fault.empty())
    throw UserError(
        fmt::format("{}: the first row, which names the columns, cannot be used: {}.", path.string(), fault));
}

void read_csv(Bytes& bytes, const fs::path& path, char separator,
              const std::function<bool(TableRow&)>& take) {
  separator = separator_of(bytes, separator);
  Csv csv(bytes, separator);
  TableRow header;
  std::vector<std::string> names, fields;
  if (!csv.next(header, names)) return;
  for (auto& name : names) name = trimmed(name, " \t");
  check_header(names, header.fault, path);
  for (TableRow row; csv.next(row, fields); row = {}) {
    row.separator = separator, row.columns = &names;
    row.fields = nlohmann::json::object();
    if (row.fault.empty() && fields.size() != names.size())
      row.fault =
          fmt::format("the row has {} fields, but the first row names {}", fields.size(), names.size());
    if (row.fault.empty() && !std::all_of(fields.begin(), fields.end(), is_utf8))
      row.fault = "the row is not UTF-8";
    for (size_t i = 0; i < names.size(); ++i)
      row.fields[names[i]] = row.fault.empty() ? nlohmann::json(std::move(fields[i])) : nlohmann::json();
    if (!take(row)) return;
  }
}

}  // namespace

std::vector<std::string> csv_fields(const std::string& row, char separator) {
  Bytes bytes(Bytes::Text{row});
  TableRow ignored;
  std::vector<std::string> fields;
  Csv(bytes, separator).next(ignored, fields);
  return fields;
}

int nesting_of(std::string_view json) {
  int depth = 0, deepest = 0;
  bool is_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_text && c == '\\') ++i;
    if (c == '"') is_text = !is_text;
    if (!is_text && (c == '[' || c == '{')) deepest = std::max(deepest, ++depth);
    if (!is_text && (c == ']' || c == '}')) --depth;
  }
  return deepest;
}

namespace {

template <class Read>
void read_bytes_of(const fs::path& path, Read read) {
  try {
    Bytes bytes(path);
    read(bytes);
  } catch (const std::ios_base::failure& failure) {
    check_machine(path, failure.code().value());
    throw UserError(fmt::format("cannot read {}: {}.", path.string(), failure.code().message()));
  }
}

}  // namespace

bool has_json_lines(const fs::path& path) {
  const std::string ending = file_ending(path);
  return ending != ".csv" && ending != ".tsv";
}

void read_rows(const fs::path& path, const std::function<bool(TableRow&)>& take) {
  read_bytes_of(path, [&](Bytes& bytes) {
    if (has_json_lines(path)) return read_json_lines(bytes, take);
    read_csv(bytes, path, file_ending(path) == ".csv" ? ',' : '\t', take);
  });
}

int64_t read_lines(const fs::path& path, uint64_t begin, uint64_t end,
                   const std::function<void(TableRow&)>& take) {
  constexpr size_t kLines = 256;
  int64_t line_ends = 0;
  read_bytes_of(path, [&](Bytes& bytes) {
    if (begin > 0) {  // a line that goes on here belongs to the part before
      bytes.go_to(begin - 1, 0);
      bytes.skip_line();
    }
    while (bytes.peek() != kEnd && bytes.at() < end)
      for (auto& line : next_lines(bytes, kLines, end)) {
        if (line.row.fault.empty()) parse_line(line.text, line.row);
        take(line.row);
      }
    line_ends = std::max<int64_t>(bytes.line() - 1, 0);
  });
  return line_ends;
}

void read_json_list(const fs::path& path, const std::function<void(TableRow&)>& take) {
  read_bytes_of(path, [&](Bytes& bytes) { read_list(bytes, path, take); });
}

}  // namespace pixart::data
