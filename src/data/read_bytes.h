// Reads a part of a file of this machine or of a server (remote_file.h), or reports why it cannot be read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "pixart/data/rejection.h"

namespace pixart::data {

struct ReadFault {
  Reason reason;
  std::string detail;
};

class RemoteFile;

// A file that is open for reading. Both functions throw ReadFault and MachineFault.
class OpenedFile {
 public:
  explicit OpenedFile(const std::filesystem::path& file);  // does not wait for pipes
  ~OpenedFile();
  OpenedFile(const OpenedFile&) = delete;
  OpenedFile& operator=(const OpenedFile&) = delete;
  std::string read(uint64_t offset, uint64_t bytes) const;      // 0 bytes: the whole file, of at most 64 MiB
  std::string read_some(uint64_t offset, uint64_t most) const;  // fewer bytes if the file ends

 private:
  uint64_t size() const;
  const std::filesystem::path file_;
  const std::shared_ptr<const RemoteFile> remote_;  // null: of this machine
  const int descriptor_;
};

// The result of `read`, which is tried again after faults of the machine.
std::string read_again(const std::filesystem::path& file, const std::function<std::string()>& read);

// Reads `bytes` bytes from `offset`; 0 bytes: the whole file, of at most 64 MiB. Throws ReadFault; and
// MachineFault, after some tries, if the machine is at fault.
std::string read_bytes(const std::filesystem::path& file, uint64_t offset, uint64_t bytes);

}  // namespace pixart::data
