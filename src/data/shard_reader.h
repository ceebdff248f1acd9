// Reads records of tensors in many safetensors files by offset and checks them. Opens a file when it is first
// needed and keeps it open. Keeps their folder open, too, so that it reads the same files when the folder has
// another name (feature_update.h).
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixart::data {

class ShardReader {
 public:
  // The files are in one folder. Each must have the named tensors with the given dtypes (safetensors names).
  ShardReader(std::vector<std::filesystem::path> files, std::map<std::string, std::string> tensors);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;

  // Reads `bytes` bytes from byte `begin` of a tensor of the shard. Throws DamagedRecord
  // (pixart/data/feature_set.h) if their CRC32C is not `checksum` or the shard does not have them, and
  // UserError(kStorage) if the file cannot be read (MachineFault: after some tries). Without a checksum the
  // bytes are not checked. May be called from several threads.
  void read(size_t shard, const std::string& tensor, uint64_t begin, uint64_t bytes, void* out,
            std::optional<uint32_t> checksum) const;

 private:
  void read_once(size_t shard, const std::string& tensor, uint64_t begin, uint64_t bytes, void* out,
                 std::optional<uint32_t> checksum) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data
