// Tensor files read and written as a whole (weights.h reads tensor by tensor).
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

// Reads a whole .safetensors file. Throws UserError (see safetensors.h).
TensorFile load_safetensors(const std::filesystem::path& path);

// Weights from tensors in memory. They are moved to the CPU and made contiguous when read.
Weights weights_of(const std::vector<NamedTensor>& tensors, std::map<std::string, std::string> metadata = {});

// Writes atomically; tensors are moved to the CPU and made contiguous. Adds {"format": "pt"} to `metadata`.
void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      std::map<std::string, std::string> metadata = {});

// open_weights() and read_all(): weights in any layout.
TensorFile load_weights(const std::filesystem::path& path, const std::string& which = "model");

}  // namespace pixart::formats
