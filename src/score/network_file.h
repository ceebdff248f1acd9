// Files of published networks: their tensors, and the hashes that a card names.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

#include "pixart/formats/weights.h"

namespace pixart::score {

struct NetworkFile {
  std::map<std::string, at::Tensor> tensors;  // float32, without the counters of batch norms
  std::string file_sha256;                    // of the file
  std::string tensors_sha256;  // of names and values: the same for a .pth and a .safetensors file
};

// SHA-256 of a file. Throws UserError if the file's name holds another hash than its content has
// ("name-0a1b2c3d.pth", as PyTorch's hub names files).
std::string hash_of_network_file(const std::filesystem::path& file);

// Reads all tensors of `weights`, which were opened from `file`. Throws UserError as hash_of_network_file().
NetworkFile read_network_file(const std::filesystem::path& file, const formats::Weights& weights);

}  // namespace pixart::score
