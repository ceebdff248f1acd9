// Tensor files read and written whole (see weights.h for piece by piece).
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pixart/formats/weights.h"

namespace pixart::formats {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

struct TensorFile {
  std::map<std::string, at::Tensor> tensors;  // CPU, contiguous
  std::map<std::string, std::string> metadata;
};

// A .safetensors file, whole. Throws UserError (see safetensors.h).
TensorFile load_safetensors(const std::filesystem::path& path);

// Tensors that are there already, described. They are moved to the CPU and made contiguous when read.
Weights weights_of(const std::vector<NamedTensor>& tensors, std::map<std::string, std::string> metadata = {});

// Writes atomically; tensors are moved to the CPU and made contiguous. `metadata` gets {"format": "pt"}
// added.
void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      std::map<std::string, std::string> metadata = {});

// open_weights() and read_all(): weights in whatever layout they come.
TensorFile load_weights(const std::filesystem::path& path, const std::string& which = "model");

}  // namespace pixart::formats
