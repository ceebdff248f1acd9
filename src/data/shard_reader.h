// Parts of tensors in many safetensors files, read by offset. Files are opened when first needed and stay
// open.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pixart::data {

class ShardReader {
 public:
  // Each file must hold the tensors named, with the given dtypes (safetensors names). Throws UserError.
  ShardReader(std::vector<std::filesystem::path> files, std::map<std::string, std::string> tensors);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;

  // `bytes` bytes from byte `begin` of a tensor of the shard. Safe from several threads.
  void read(size_t shard, const std::string& tensor, uint64_t begin, uint64_t bytes, void* out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data
