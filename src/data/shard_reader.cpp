#include "shard_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "feature_files.h"
#include "pixart/base/machine_fault.h"
#include "pixart/data/feature_set.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/safetensors.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kReadAtOnce = uint64_t{256} << 10;  // stays in the cache while its checksum is computed

[[noreturn]] void refuse_shard(const fs::path& path, const char* reason) {
  throw UserError(fmt::format("cannot read {}: {}.", path.string(), reason), ExitCode::kStorage);
}

[[noreturn]] void refuse_shard(const fs::path& path, int error) {
  check_machine(path, error);
  refuse_shard(path, std::strerror(error));
}

struct StoredTensor {
  uint64_t offset = 0, bytes = 0;  // in the file
};

struct Shard {
  fs::path path;
  std::once_flag opened;
  int descriptor = -1;
  std::map<std::string, StoredTensor> parts;

  ~Shard() {
    if (descriptor >= 0) ::close(descriptor);
  }

  void read(uint64_t offset, uint64_t bytes, char* out) const {
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor, out, bytes, off_t(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        const int error = errno;
        if (error == ESTALE) open_again();
        refuse_shard(path, error);
      }
      if (got == 0) refuse_shard(path, "the file was shortened");
      out += got, offset += uint64_t(got), bytes -= uint64_t(got);
    }
  }

  // A file server that was started again knows nothing of files that were open. Other threads may be reading.
  void open_again() const {
    const int fresh = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fresh < 0) return;
    ::dup3(fresh, descriptor, O_CLOEXEC);
    ::close(fresh);
  }

  // The bytes of the header, or all bytes of the file if the header's length is damaged.
  std::string head(uint64_t file_bytes) const {
    uint64_t length = 0;
    if (file_bytes >= sizeof length) read(0, sizeof length, reinterpret_cast<char*>(&length));
    constexpr uint64_t kLongest = 100'000'000;  // limit of the format
    std::string bytes(size_t(std::min(file_bytes, 8 + std::min(length, kLongest))), '\0');
    read(0, bytes.size(), bytes.data());
    return bytes;
  }

  formats::SafetensorsHeader header() const {
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) refuse_shard(path, errno);
    const auto file_bytes = uint64_t(info.st_size);
    const std::string bytes = head(file_bytes);
    try {
      return formats::parse_safetensors_header(bytes, file_bytes, path.string());
    } catch (const UserError& error) {
      throw DamagedRecord(path, 0, error.what());
    }
  }

  void open(int folder, const std::map<std::string, std::string>& tensors) {
    const fs::path place = folder < 0 ? path : path.filename();
    if (descriptor < 0) descriptor = ::openat(folder, place.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) refuse_shard(path, errno);
    const auto found_header = header();
    for (const auto& [name, dtype] : tensors) {
      const auto found = found_header.tensors.find(name);
      if (found == found_header.tensors.end() || found->second.dtype != dtype)
        throw DamagedRecord(path, 0, fmt::format("it has no tensor {} of type {}", name, dtype));
      parts[name] = {found_header.data_offset + found->second.begin, found->second.end - found->second.begin};
    }
  }
};

}  // namespace

DamagedRecord::DamagedRecord(fs::path shard, uint64_t offset, const std::string& fault)
    : UserError(fmt::format("{} is damaged at byte {}: {}. {}.", shard.string(), offset, fault, kHowToMend),
                ExitCode::kStorage),
      shard_(std::move(shard)),
      offset_(offset) {}

struct ShardReader::State {
  std::vector<std::unique_ptr<Shard>> shards;
  std::map<std::string, std::string> tensors;
  int folder = AT_FDCWD;  // or that of the shards

  ~State() {
    if (folder >= 0) ::close(folder);
  }
};

ShardReader::ShardReader(std::vector<fs::path> files, std::map<std::string, std::string> tensors)
    : state_(std::make_unique<State>()) {
  state_->tensors = std::move(tensors);
  if (!files.empty()) {
    const fs::path folder = files.front().parent_path();
    const int opened = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened >= 0) state_->folder = opened;
  }
  for (auto& file : files) {
    state_->shards.push_back(std::make_unique<Shard>());
    state_->shards.back()->path = std::move(file);
  }
}
ShardReader::~ShardReader() = default;
ShardReader::ShardReader(ShardReader&&) noexcept = default;

void ShardReader::read(size_t number, const std::string& tensor, uint64_t begin, uint64_t bytes, void* out,
                       std::optional<uint32_t> checksum) const {
  retry_machine_faults("read the features", [&] { read_once(number, tensor, begin, bytes, out, checksum); });
}

void ShardReader::read_once(size_t number, const std::string& tensor, uint64_t begin, uint64_t bytes,
                            void* out, std::optional<uint32_t> checksum) const {
  PIXART_CHECK(number < state_->shards.size(), "shard {} of {}", number, state_->shards.size());
  Shard& shard = *state_->shards[number];
  std::call_once(shard.opened, [&] { shard.open(state_->folder, state_->tensors); });
  const StoredTensor& part = shard.parts.at(tensor);
  const uint64_t offset = part.offset + begin;
  if (begin > part.bytes || bytes > part.bytes - begin)
    throw DamagedRecord(
        shard.path, offset,
        fmt::format("its tensor {} ends before byte {}, which the index names", tensor, begin + bytes));
  auto* to = static_cast<char*>(out);
  uint32_t found = 0;
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = checksum ? std::min(kReadAtOnce, bytes - done) : bytes - done;
    shard.read(offset + done, piece, to + done);
    if (checksum) found = formats::crc32c({to + done, size_t(piece)}, found);
    done += piece;
  }
  if (checksum && found != *checksum)
    throw DamagedRecord(
        shard.path, offset,
        fmt::format("{} bytes of its tensor {} have the checksum {:08x}, but {:08x} in the index", bytes,
                    tensor, found, *checksum));
}

}  // namespace pixart::data
