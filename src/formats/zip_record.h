// The content of a record of a zip archive, stored or deflated.
#pragma once
#include <zlib.h>

#include <string>

#include "input_file.h"
#include "zip_archive.h"

namespace pixart::formats {

// Reads from the beginning, directly into the caller's memory, and never more bytes than the directory says.
class RecordStream {
 public:
  RecordStream(const InputFile& file, const ZipRecord& record);  // both must outlive the stream
  ~RecordStream();
  RecordStream(const RecordStream&) = delete;
  RecordStream& operator=(const RecordStream&) = delete;

  // The next `count` bytes, which must be left. UserError if the record has fewer than announced.
  void read(void* to, uint64_t count);
  // Call it after the last byte: UserError if the record continues, or if its CRC-32 is not the directory's.
  void finish();

 private:
  [[noreturn]] void fail(const std::string& reason) const;
  uint64_t inflate(Bytef* to, uint64_t count);
  void refill();

  const InputFile& file_;
  const ZipRecord& record_;
  uint64_t done_ = 0;     // bytes of content read so far
  uint64_t taken_ = 0;    // stored bytes that were given to zlib
  bool is_over_ = false;  // zlib has seen the end of the deflated data
  uint32_t crc_;
  std::string input_;
  z_stream zlib_ = {};
};

// Reads the whole record.
void read_record(const InputFile& file, const ZipRecord& record, void* to);

}  // namespace pixart::formats
