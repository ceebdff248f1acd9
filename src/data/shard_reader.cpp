#include "shard_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "pixart/base/error.h"
#include "pixart/formats/safetensors.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

struct Part {
  uint64_t offset = 0, bytes = 0;  // in the file
};

struct Shard {
  fs::path path;
  std::once_flag opened;
  int descriptor = -1;
  std::map<std::string, Part> parts;

  ~Shard() {
    if (descriptor >= 0) ::close(descriptor);
  }

  void open(const std::map<std::string, std::string>& tensors) {
    const auto header = formats::read_safetensors_header(path);
    for (const auto& [name, dtype] : tensors) {
      const auto found = header.tensors.find(name);
      if (found == header.tensors.end() || found->second.dtype != dtype)
        throw UserError(fmt::format("{} holds no tensor {} of type {}. Extract the features again.",
                                    path.string(), name, dtype));
      parts[name] = {header.data_offset + found->second.begin, found->second.end - found->second.begin};
    }
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
      throw UserError(fmt::format("cannot read {}: {}.", path.string(), std::strerror(errno)));
  }
};

}  // namespace

struct ShardReader::State {
  std::vector<std::unique_ptr<Shard>> shards;
  std::map<std::string, std::string> tensors;
};

ShardReader::ShardReader(std::vector<fs::path> files, std::map<std::string, std::string> tensors)
    : state_(std::make_unique<State>()) {
  state_->tensors = std::move(tensors);
  for (auto& file : files) {
    state_->shards.push_back(std::make_unique<Shard>());
    state_->shards.back()->path = std::move(file);
  }
}
ShardReader::~ShardReader() = default;
ShardReader::ShardReader(ShardReader&&) noexcept = default;

void ShardReader::read(size_t number, const std::string& tensor, uint64_t begin, uint64_t bytes,
                       void* out) const {
  PIXART_CHECK(number < state_->shards.size(), "shard {} of {}", number, state_->shards.size());
  Shard& shard = *state_->shards[number];
  std::call_once(shard.opened, [&] { shard.open(state_->tensors); });
  const Part& part = shard.parts.at(tensor);
  if (begin > part.bytes || bytes > part.bytes - begin)
    throw UserError(
        fmt::format("{}: tensor {} ends before byte {}, which the index names. Extract the features again.",
                    shard.path.string(), tensor, begin + bytes));
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got = ::pread(shard.descriptor, static_cast<char*>(out) + done, bytes - done,
                                off_t(part.offset + begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw UserError(fmt::format("cannot read {}: {}.", shard.path.string(),
                                  got == 0 ? "it became shorter" : std::strerror(errno)),
                      ExitCode::kStorage);
    done += uint64_t(got);
  }
}

}  // namespace pixart::data
