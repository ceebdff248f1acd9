#include "tar_header.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "input_file.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

struct Field {
  size_t at, size;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kLink{157, 100}, kMagic{257, 5},
    kPrefix{345, 155};
constexpr size_t kType = 156;

constexpr uint64_t kLargest = uint64_t(std::numeric_limits<int64_t>::max());  // the largest offset

std::string_view field(std::string_view block, Field f) { return block.substr(f.at, f.size); }
std::string_view up_to_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

// Blanks, octal digits, then blanks or NULs; nullopt for any other text.
std::optional<uint64_t> octal(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const size_t length = std::min(text.find_first_of(std::string_view(" \0", 2)), text.size());
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, value, 8);
  const bool is_clean = text.find_first_not_of(std::string_view(" \0", 2), length) == std::string_view::npos;
  if (length == 0 || error != std::errc() || end != text.data() + length || !is_clean) return std::nullopt;
  return value;
}

// Base 256, which GNU tar uses for 8 GiB or more: a first byte of 0x80, then a big-endian number.
std::optional<uint64_t> binary(std::string_view text) {
  if (uint8_t(text[0]) != 0x80) return std::nullopt;  // other values are negative or above 2^88
  uint64_t value = 0;
  for (const char c : text.substr(1)) {
    if (value > (kLargest >> 8)) return std::nullopt;
    value = value << 8 | uint8_t(c);
  }
  return value;
}

uint64_t size_of(std::string_view block) {
  const auto text = field(block, kSize);
  const auto value = uint8_t(text[0]) >= 0x80 ? binary(text) : octal(text);
  if (!value) throw UserError("the header's size is not a number");
  return *value;
}

uint64_t decimal(std::string_view text, const char* what) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kLargest)
    throw UserError(fmt::format("a pax header's {} is not a number: {}", what, shown(text)));
  return value;
}

void set_pax(std::string_view key, std::string_view value, PaxRecords& records) {
  if (key == "path") {
    if (value.empty() || value.find('\0') != std::string_view::npos)
      throw UserError("a pax header's path is empty or holds a NUL");
    records.path = std::string(value);
  } else if (key == "linkpath") {
    records.link = std::string(value);
  } else if (key == "size") {
    records.size = decimal(value, "size");
  } else if (key.starts_with("GNU.sparse.")) {
    records.is_sparse = true;
  }
}

}  // namespace

bool is_tar_header(std::string_view block, bool wants_magic) {
  if (wants_magic && field(block, kMagic) != "ustar") return false;
  uint64_t sum = kChecksum.size * uint64_t(' ');
  for (size_t i = 0; i < kTarBlock; ++i)
    if (i < kChecksum.at || i >= kChecksum.at + kChecksum.size) sum += uint8_t(block[i]);
  return octal(field(block, kChecksum)) == sum;
}

TarHeader parse_tar_header(std::string_view block) {
  TarHeader header;
  header.type = block[kType] == '\0' ? '0' : block[kType];  // before POSIX, files had no type
  header.bytes = size_of(block);
  header.name = up_to_nul(field(block, kName));
  header.link = up_to_nul(field(block, kLink));
  const auto prefix = up_to_nul(field(block, kPrefix));
  // GNU tar ("ustar  ") stores times there.
  if (field(block, kMagic) == "ustar" && block[kMagic.at + kMagic.size] == '\0' && !prefix.empty())
    header.name = std::string(prefix) + "/" + header.name;
  return header;
}

void parse_pax(std::string_view text, PaxRecords& records) {
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos) throw UserError("a pax header's record has no length");
    const uint64_t length = decimal(text.substr(0, blank), "length");
    if (length <= blank + 1 || length > text.size() || text[size_t(length) - 1] != '\n')
      throw UserError("a pax header's record has a wrong length");
    const auto record = text.substr(blank + 1, size_t(length) - blank - 2);
    const size_t equals = record.find('=');
    if (equals == 0 || equals == std::string_view::npos)
      throw UserError("a pax header's record is not KEY=VALUE");
    set_pax(record.substr(0, equals), record.substr(equals + 1), records);
    text.remove_prefix(size_t(length));
  }
}

}  // namespace pixart::formats
