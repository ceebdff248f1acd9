// The thin layer between tensor files and at::Tensor.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

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

// Writes atomically; tensors are moved to the CPU and made contiguous. `metadata` gets {"format": "pt"}
// added.
void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      std::map<std::string, std::string> metadata = {});

// Weights in whatever layout they come: a .safetensors file, a sharded *.index.json (safetensors or PyTorch
// shards), a PyTorch .pth/.bin/.pt, or a folder that holds one of the usual names (model.safetensors,
// diffusion_pytorch_model.safetensors, pytorch_model.bin, their index files, ...).
// For a PyTorch file nested dicts are joined with '.'; where the top level has a dict under `wrapper`, only
// that is read. A checkpoint that has only other wrappers ("model", "ema", ...) is refused with their names.
TensorFile load_weights(const std::filesystem::path& path, const std::string& wrapper = "state_dict");

}  // namespace pixart::formats
