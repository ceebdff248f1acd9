#include <cstring>

#include "pixart/base/error.h"
#include "pixart/base/utf8.h"
#include "pixart/formats/tar.h"
#include "tar_header.h"

namespace pixart::formats {

namespace {

constexpr size_t kNameBytes = 100, kPrefixBytes = 155;
constexpr size_t kLongestName = 32 << 10;
constexpr uint64_t kContentLimit = uint64_t{1} << 33;  // the largest number of eleven octal digits, plus 1
constexpr std::string_view kPaxName = "PaxHeader";

// The position that splits a name into prefix and name so that both fit; npos if it needs no split or cannot
// be split.
size_t cut_of(std::string_view name) {
  if (name.size() <= kNameBytes) return std::string_view::npos;
  const size_t slash = name.find('/', name.size() - kNameBytes - 1);
  return slash != std::string_view::npos && slash > 0 && slash <= kPrefixBytes && slash + 1 < name.size()
             ? slash
             : std::string_view::npos;
}

bool needs_pax(std::string_view name) {
  return !is_ascii(name) || (name.size() > kNameBytes && cut_of(name) == std::string_view::npos);
}

// "LENGTH path=NAME\n", where LENGTH includes its own digits.
std::string pax_record(const std::string& name) {
  const size_t rest = name.size() + std::strlen(" path=\n");
  size_t length = rest;
  while (length != rest + std::to_string(length).size()) length = rest + std::to_string(length).size();
  return fmt::format("{} path={}\n", length, name);
}

void put(std::string& block, size_t at, std::string_view text) { block.replace(at, text.size(), text); }

std::string header_of(std::string_view name, uint64_t bytes, char type) {
  std::string block(size_t(kTarBlock), '\0');
  const size_t cut = cut_of(name);
  put(block, 0, cut == std::string_view::npos ? name.substr(0, kNameBytes) : name.substr(cut + 1));
  put(block, 100, "0000644");                      // mode
  put(block, 108, "0000000");                      // owner
  put(block, 116, "0000000");                      // group
  put(block, 124, fmt::format("{:011o}", bytes));  // size
  put(block, 136, "00000000000");                  // time of change
  put(block, 148, "        ");                     // checksum: blanks while it is computed
  block[156] = type;
  put(block, 257, std::string_view("ustar\00000", 8));  // magic and version
  put(block, 329, "0000000");                           // device numbers
  put(block, 337, "0000000");
  if (cut != std::string_view::npos) put(block, 345, name.substr(0, cut));
  uint64_t sum = 0;
  for (const char c : block) sum += uint8_t(c);
  put(block, 148, fmt::format("{:06o}", sum));
  block[154] = '\0';
  return block;
}

// The name for readers that do not know pax headers.
std::string in_ascii(std::string name) {
  for (char& c : name)
    if (uint8_t(c) >= 0x80) c = '?';
  return name;
}

std::string padding(uint64_t bytes) { return std::string(size_t(whole_blocks(bytes) - bytes), '\0'); }

}  // namespace

uint64_t TarWriter::size_of(const std::string& name, uint64_t bytes) {
  const uint64_t pax = needs_pax(name) ? kTarBlock + whole_blocks(pax_record(name).size()) : 0;
  return pax + kTarBlock + whole_blocks(bytes);
}

void TarWriter::add(const std::string& name, std::string_view content) {
  PIXART_CHECK(!name.empty() && name.size() <= kLongestName && name.find('\0') == std::string::npos &&
                   !name.ends_with('/'),
               "a name of {} bytes cannot be stored in an archive", name.size());
  PIXART_CHECK(content.size() < kContentLimit, "{}: {} bytes", name, content.size());
  if (needs_pax(name)) {
    const std::string record = pax_record(name);
    append(header_of(kPaxName, record.size(), 'x') + record + padding(record.size()));
  }
  append(header_of(in_ascii(name), content.size(), '0'));
  append(content);
  append(padding(content.size()));
}

std::string TarWriter::commit() {
  append(std::string(size_t(kEndBytes), '\0'));
  file_.commit();
  return hash_.hex();
}

void TarWriter::append(std::string_view bytes) {
  file_.write(bytes);
  hash_.add(bytes);
}

}  // namespace pixart::formats
