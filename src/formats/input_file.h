// A file that is read at given offsets, with pread or by the function of its owner. It is never mapped: if a
// mapped file shrinks, the process is killed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "pixart/formats/read_at.h"

namespace pixart::formats {

class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);  // UserError if it is not a readable regular file
  InputFile(std::filesystem::path name, uint64_t bytes, ReadAt read);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::string name() const { return path_.string(); }
  uint64_t bytes() const { return bytes_; }  // size when it was opened
  // Exactly `count` bytes from `offset`; UserError beyond the end or if the disk fails.
  void read(void* to, uint64_t count, uint64_t offset) const;
  std::string read(uint64_t count, uint64_t offset) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
  ReadAt read_;  // of a file that is not opened here
};

// The name of a file without a folder.
bool is_bare_name(const std::string& name);

// Makes text from an untrusted file fit for a message: short, in quotes, control characters replaced.
std::string shown(std::string_view text);

}  // namespace pixart::formats
