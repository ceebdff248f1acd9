// Strict safetensors reader and writer, without LibTorch. Everything is validated before memory is allocated,
// by the rules of the format and the additional limits in src/formats/README.md.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace pixart::formats {

// Element types of the format, by their names in the format ("F32", "BF16", "I64", ...).
struct TensorInfo {
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, relative to the data section
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::map<std::string, TensorInfo> tensors;
  uint64_t data_offset = 0;  // of the data section in the file
  uint64_t file_bytes = 0;
};

// Bits of one element; 0 for an unknown dtype.
int dtype_bits(const std::string& dtype);

// Reads and validates the header of `path`. Throws UserError naming file, offset or tensor, and reason.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

// The same for bytes in memory: `head` has the first bytes of the file (at least 8 + header), `file_bytes` is
// the size of the file.
SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes,
                                           const std::string& name);

}  // namespace pixart::formats
