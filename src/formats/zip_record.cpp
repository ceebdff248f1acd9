#include "zip_record.h"

#include <libdeflate.h>

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::formats {

RecordStream::RecordStream(const InputFile& file, const ZipRecord& record)
    : file_(file), record_(record), crc_(libdeflate_crc32(0, nullptr, 0)) {
  constexpr int kRawDeflate = -MAX_WBITS;  // without zlib's header, as in zip archives
  if (record_.is_deflated) PIXART_CHECK(::inflateInit2(&zlib_, kRawDeflate) == Z_OK, "zlib does not start");
}

RecordStream::~RecordStream() {
  if (record_.is_deflated) ::inflateEnd(&zlib_);
}

void RecordStream::fail(const std::string& reason) const {
  throw UserError(fmt::format("{}: byte {}: record {} {}. Fetch the file again.", file_.name(),
                              record_.offset, shown(record_.name), reason));
}

void RecordStream::refill() {
  constexpr uint64_t kPiece = uint64_t{256} << 10;
  if (zlib_.avail_in > 0 || taken_ == record_.stored_bytes) return;
  input_ = file_.read(std::min(kPiece, record_.stored_bytes - taken_), record_.offset + taken_);
  taken_ += input_.size();
  zlib_.next_in = reinterpret_cast<Bytef*>(input_.data());
  zlib_.avail_in = uInt(input_.size());
}

// Returns the number of bytes written to the output: fewer than `count` only at the end of the deflated data.
uint64_t RecordStream::inflate(Bytef* to, uint64_t count) {
  zlib_.next_out = to;
  zlib_.avail_out = uInt(count);
  while (zlib_.avail_out > 0 && !is_over_) {
    refill();
    const bool is_starved = zlib_.avail_in == 0;
    const int status = ::inflate(&zlib_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      is_over_ = true;
    } else if (status == Z_BUF_ERROR && is_starved) {
      fail("is cut off inside its deflated data");
    } else if (status != Z_OK) {
      fail(fmt::format("cannot be inflated ({})", zlib_.msg != nullptr ? zlib_.msg : ::zError(status)));
    }
  }
  return count - zlib_.avail_out;
}

void RecordStream::read(void* to, uint64_t count) {
  constexpr uint64_t kPiece = uint64_t{1} << 20;  // its CRC is computed while the piece is in the cache
  PIXART_CHECK(count <= record_.bytes - done_, "{} bytes asked of record {}", count, record_.name);
  auto* out = static_cast<Bytef*>(to);
  while (count > 0) {
    const uint64_t piece = std::min(kPiece, count);
    if (!record_.is_deflated) {
      file_.read(out, piece, record_.offset + done_);
    } else if (inflate(out, piece) != piece) {
      fail(fmt::format("has fewer than the {} bytes that the directory announces", record_.bytes));
    }
    crc_ = libdeflate_crc32(crc_, out, size_t(piece));
    out += piece, done_ += piece, count -= piece;
  }
}

void RecordStream::finish() {
  PIXART_CHECK(done_ == record_.bytes, "record {} was read to byte {}", record_.name, done_);
  if (record_.is_deflated) {
    Bytef beyond = 0;
    if (inflate(&beyond, 1) != 0)
      fail(fmt::format("has more than the {} bytes that the directory announces", record_.bytes));
    if (zlib_.avail_in > 0 || taken_ < record_.stored_bytes) fail("continues after its deflated data");
  }
  if (record_.has_crc && crc_ != record_.crc) fail("was changed after it was written (CRC-32 differs)");
}

void read_record(const InputFile& file, const ZipRecord& record, void* to) {
  RecordStream stream(file, record);
  stream.read(to, record.bytes);
  stream.finish();
}

}  // namespace pixart::formats
