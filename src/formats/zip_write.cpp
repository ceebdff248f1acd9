#include "zip_write.h"

#include <libdeflate.h>

#include <algorithm>

#include "pixart/base/bytes.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kVersion = 45;  // version of the zip format with 64-bit fields
constexpr uint64_t kNot32 = 0xFFFFFFFF, kLocalBytes = 30, kAlignment = 64;

// libdeflate, like zlib, begins again where the pointer is null, and that of an empty piece may be.
uint32_t crc_with(uint32_t crc, std::string_view piece) {
  return piece.empty() ? crc : libdeflate_crc32(crc, piece.data(), piece.size());
}

}  // namespace

bool ZipWriter::Record::is_long() const { return offset >= kNot32 || bytes >= kNot32; }

void ZipWriter::add(const std::string& name, const std::vector<std::string_view>& pieces) {
  Record record{.name = prefix_ + name, .offset = file_.size(), .bytes = 0, .crc = 0};
  for (const auto& piece : pieces) {
    record.bytes += piece.size();
    record.crc = crc_with(record.crc, piece);
  }
  file_.write(local_header(record));
  for (const auto& piece : pieces) file_.write(piece);
  records_.push_back(std::move(record));
}

// The header is written once more when the checksum is known.
void ZipWriter::add_pieces(const std::string& name, uint64_t bytes,
                           const std::function<void(const Take&)>& produce) {
  Record record{.name = prefix_ + name, .offset = file_.size(), .bytes = bytes, .crc = 0};
  const std::string unfinished = local_header(record);
  file_.write(unfinished);
  const uint64_t begin = file_.size();
  produce([&](std::string_view piece) {
    record.crc = crc_with(record.crc, piece);
    file_.write(piece);
  });
  PIXART_CHECK(file_.size() - begin == bytes, "{} has {} bytes, not {}", name, file_.size() - begin, bytes);
  file_.rewrite(record.offset, local_header(record));
  records_.push_back(std::move(record));
}

void ZipWriter::finish() {
  const uint64_t begin = file_.size();
  for (const auto& record : records_) file_.write(central_header(record));
  const uint64_t end = file_.size(), count = records_.size();
  file_.write("PK\x06\x06" + little_endian(44, 8) + little_endian(kVersion, 2) + little_endian(kVersion, 2) +
              little_endian(0, 8) + little_endian(count, 8) + little_endian(count, 8) +
              little_endian(end - begin, 8) + little_endian(begin, 8));
  file_.write("PK\x06\x07" + little_endian(0, 4) + little_endian(end, 8) + little_endian(1, 4));
  const auto limited = [](uint64_t value, int bytes) {
    return little_endian(std::min(value, (uint64_t{1} << (8 * bytes)) - 1), bytes);
  };
  file_.write("PK\x05\x06" + little_endian(0, 4) + limited(count, 2) + limited(count, 2) +
              limited(end - begin, 4) + limited(begin, 4) + little_endian(0, 2));
}

// The fields from "version needed" to the length of the name.
std::string ZipWriter::common_fields(const Record& record) {
  const uint64_t bytes = record.is_long() ? kNot32 : record.bytes;
  constexpr uint64_t kFirstOfJanuary1980 = 0x21;
  return little_endian(kVersion, 2) + little_endian(0x800, 2) /* UTF-8 */ + little_endian(0, 2) +
         little_endian(0, 2) + little_endian(kFirstOfJanuary1980, 2) + little_endian(record.crc, 4) +
         little_endian(bytes, 4) + little_endian(bytes, 4) + little_endian(record.name.size(), 2);
}

std::string ZipWriter::local_header(const Record& record) {
  std::string extra;
  if (record.is_long())
    extra = little_endian(1, 2) + little_endian(16, 2) + little_endian(record.bytes, 8) +
            little_endian(record.bytes, 8);
  const uint64_t unpadded = record.offset + kLocalBytes + record.name.size() + extra.size() + 4;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  extra += "FB" + little_endian(padding, 2) + std::string(padding, 'Z');
  return "PK\x03\x04" + common_fields(record) + little_endian(extra.size(), 2) + record.name + extra;
}

std::string ZipWriter::central_header(const Record& record) {
  std::string extra;
  if (record.is_long())
    extra = little_endian(1, 2) + little_endian(24, 2) + little_endian(record.bytes, 8) +
            little_endian(record.bytes, 8) + little_endian(record.offset, 8);
  return "PK\x01\x02" + little_endian(kVersion, 2) + common_fields(record) + little_endian(extra.size(), 2) +
         little_endian(0, 2) /* comment */ + little_endian(0, 2) /* disk */ + little_endian(0, 6) +
         little_endian(record.is_long() ? kNot32 : record.offset, 4) + record.name + extra;
}

}  // namespace pixart::formats
