// Records of tensors in many safetensors files, read by offset and checked. Files are opened when first
// needed and stay open.
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
  // Each file must hold the tensors named, with the given dtypes (safetensors names).
  ShardReader(std::vector<std::filesystem::path> files, std::map<std::string, std::string> tensors);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;

  // The record of `bytes` bytes from byte `begin` of a tensor of the shard. Throws DamagedRecord
  // (pixart/data/feature_set.h) where its CRC32C is not `checksum`, or the shard does not hold it, and
  // UserError(kStorage) where the disk fails. Without a checksum the bytes are believed. Safe from several
  // threads.
  void read(size_t shard, const std::string& tensor, uint64_t begin, uint64_t bytes, void* out,
            std::optional<uint32_t> checksum) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data
