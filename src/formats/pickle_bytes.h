// The bytes of one or more pickles inside a file, read in small pieces on request.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "input_file.h"

namespace pixart::formats {

class PickleBytes {
 public:
  PickleBytes(const InputFile& file, uint64_t begin, uint64_t end);

  uint64_t little_endian(int count);   // count <= 8 bytes
  std::string text(uint64_t count);    // any bytes
  std::string line();                  // up to a line break, which is removed
  uint64_t at() const { return at_; }  // in the file
  uint64_t left() const { return end_ - at_; }
  uint64_t file_bytes() const { return file_.bytes(); }
  // Throws UserError with file, the offset `where` and the reason.
  [[noreturn]] void fail(uint64_t where, const std::string& reason) const;

 private:
  uint8_t byte();
  const InputFile& file_;
  uint64_t at_, end_;
  std::string buffer_;
  uint64_t buffer_begin_;
};

}  // namespace pixart::formats
