#include "npy_header.h"

#include <algorithm>
#include <array>
#include <set>

#include "dtypes.h"
#include "input_file.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "text_cursor.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kLargestHeader = 10'000;  // numpy's own limit
constexpr size_t kLargestRank = 16, kVersionEnd = 8;
constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::array<std::string_view, 13> kTypes = {"b1", "i1", "i2", "i4", "i8", "u1", "u2",
                                                     "u4", "u8", "f2", "f4", "f8", "c8"};

[[noreturn]] void refuse(const std::string& name, uint64_t at, const std::string& reason) {
  throw UserError(
      fmt::format("{}: byte {}: {}. The file is damaged or not a plain .npy file.", name, at, reason));
}

// The few forms of Python literals that numpy writes.
class PythonCursor : public TextCursor {
 public:
  PythonCursor(std::string_view text, const std::string& name, uint64_t base)
      : TextCursor(text, name, base, "a plain .npy file"), name_(name) {}

  std::string string() {
    skip_space();
    const char quote = consume('"') ? '"' : '\'';
    if (quote == '\'') expect('\'');
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (const char c = text_[at_++]; uint8_t(c) < 0x20 || uint8_t(c) > 0x7E || c == '\\')
        fail("a string that is not plain ASCII");
    }
    if (at_ == text_.size()) fail("the header ends inside a string");
    return std::string(text_.substr(begin, at_++ - begin));
  }

  // The same type in the order that is read keeps all digits.
  [[noreturn]] void refuse_big_endian(const std::string& descr) const {
    throw UserError(fmt::format("{}: the type {} is big-endian, which is not read: save array.astype({}).",
                                name_, shown(descr), shown("<" + descr.substr(1))));
  }

  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("expected True or False");
  }

 private:
  std::string name_;
};

// '<f4' -> "f4".
std::string read_dtype(PythonCursor& header) {
  if (header.sees('[') || header.sees('(')) header.fail("a structured type; only arrays of numbers are read");
  const std::string descr = header.string();
  const char order = descr.empty() ? '\0' : descr[0];
  if (order == '>') header.refuse_big_endian(descr);
  const std::string type = order == '<' || order == '|' || order == '=' ? descr.substr(1) : descr;
  if (type.starts_with('O'))
    header.fail("an array of pickled Python objects; only arrays of numbers are read");
  if (order == type[0] || std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end())
    header.fail(fmt::format("the type {} is not known; only arrays of numbers are read", shown(descr)));
  return type;
}

// (), (3,), (3, 4)
std::vector<int64_t> read_shape(PythonCursor& header) {
  std::vector<int64_t> shape;
  bool has_comma = true;
  header.expect('(');
  while (!header.consume(')')) {
    if (!has_comma) header.fail("',' expected");
    if (shape.size() == kLargestRank) header.fail(fmt::format("more than {} dimensions", kLargestRank));
    shape.push_back(int64_t(header.integer()));
    has_comma = header.consume(',');
  }
  if (shape.size() == 1 && !has_comma) header.fail("a number in parentheses is not a shape");
  return shape;
}

NpyHeader read_dictionary(PythonCursor& header) {
  NpyHeader result;
  std::set<std::string> seen;
  bool has_comma = true;
  header.expect('{');
  while (!header.consume('}')) {
    if (!has_comma) header.fail("',' expected");
    const std::string key = header.string();
    if (!seen.insert(key).second) header.fail(fmt::format("key {} occurs twice", shown(key)));
    header.expect(':');
    if (key == "descr") {
      result.dtype = read_dtype(header);
    } else if (key == "fortran_order") {
      result.is_fortran = header.boolean();
    } else if (key == "shape") {
      result.shape = read_shape(header);
    } else {
      header.fail(fmt::format("unknown key {}", shown(key)));
    }
    has_comma = header.consume(',');
  }
  if (seen.size() != 3) header.fail("descr, fortran_order or shape is missing");
  header.end();
  return result;
}

std::string take(const ReadNext& next, uint64_t count) {
  std::string bytes(size_t(count), '\0');
  next(bytes.data(), count);
  return bytes;
}

}  // namespace

NpyHeader read_npy_header(const ReadNext& next, uint64_t bytes, const std::string& name) {
  constexpr size_t kShortest = kVersionEnd + 2;
  if (bytes < kShortest) refuse(name, 0, fmt::format("{} bytes are too short for an array", bytes));
  const std::string head = take(next, kVersionEnd);
  if (!head.starts_with(kMagic)) {
    refuse(name, 0,
           head.starts_with("PK") ? "expected a single array, got an .npz archive"
                                  : "this is not an array written by np.save");
  }
  const int version = uint8_t(head[6]);
  if (version < 1 || version > 3 || head[7] != 0)
    refuse(name, 6, fmt::format("version {}.{} is not 1.0, 2.0 or 3.0", version, uint8_t(head[7])));
  const uint64_t length_bytes = version == 1 ? 2 : 4, text_begin = kVersionEnd + length_bytes;
  if (bytes < text_begin) refuse(name, kVersionEnd, "the file ends inside its header");
  const uint64_t length = from_little_endian(take(next, length_bytes), 0, int(length_bytes));
  if (length > kLargestHeader || length > bytes - text_begin) {
    refuse(name, kVersionEnd,
           fmt::format("a header of {} bytes is too long: {} are left, {} are allowed", length,
                       bytes - text_begin, kLargestHeader));
  }
  const std::string text = take(next, length);
  PythonCursor header(text, name, text_begin);
  NpyHeader result = read_dictionary(header);
  result.data_bytes = bytes - text_begin - length;
  const auto needed = array_bytes(result.shape, result.dtype[1] - '0');
  if (!needed) header.fail("the shape is too large");
  if (*needed != result.data_bytes)
    header.fail(fmt::format("the shape needs {} bytes, {} follow", *needed, result.data_bytes));
  return result;
}

std::string npy_header(const std::string& dtype, const std::vector<int64_t>& shape) {
  std::string sides;
  for (const int64_t side : shape) sides += std::to_string(side) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) sides.resize(sides.size() - 2);
  std::string text = "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (" + sides + "), }";
  constexpr size_t kAlignment = 64, kLengthBytes = 2;
  const size_t unpadded = kVersionEnd + kLengthBytes + text.size() + 1;
  text += std::string((kAlignment - unpadded % kAlignment) % kAlignment, ' ') + "\n";
  return std::string(kMagic) + std::string("\x01\0", 2) + little_endian(text.size(), 2) + text;
}

}  // namespace pixart::formats
