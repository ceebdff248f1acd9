#include "network_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>

#include "pixart/base/error.h"
#include "pixart/formats/hash.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

// The eight digits in front of the ending of a name as PyTorch's hub gives it; "" without them.
std::string hash_in_name(const fs::path& file) {
  constexpr size_t kDigits = 8;
  const std::string stem = file.stem().string();
  const size_t dash = stem.rfind('-');
  if (file.extension() != ".pth" || dash == std::string::npos || stem.size() - dash - 1 != kDigits) return {};
  const std::string digits = stem.substr(dash + 1);
  const bool is_hash = std::all_of(digits.begin(), digits.end(), [](unsigned char c) {
    return std::isdigit(c) != 0 || (c >= 'a' && c <= 'f');
  });
  return is_hash ? digits : "";
}

}  // namespace

std::string hash_of_network_file(const fs::path& file) {
  const std::string sha256 = formats::sha256_of_file(file), named = hash_in_name(file);
  if (!named.empty() && !sha256.starts_with(named))
    throw UserError(fmt::format(
        "{}: its SHA-256 begins with {}, not with the {} of its name: the file is damaged, or cut off. "
        "Download it again.",
        file.string(), sha256.substr(0, named.size()), named));
  return sha256;
}

NetworkFile read_network_file(const fs::path& file, const formats::Weights& weights) {
  NetworkFile read{.tensors = {}, .file_sha256 = hash_of_network_file(file), .tensors_sha256 = {}};
  formats::Sha256 hash;
  for (const auto& [name, info] : weights.tensors) {
    if (name.ends_with(".num_batches_tracked")) continue;
    const at::Tensor tensor = weights.read(name).to(at::kFloat).contiguous();
    add_tensor(hash, name, tensor);
    read.tensors[name] = tensor;
  }
  read.tensors_sha256 = hash.hex();
  return read;
}

}  // namespace pixart::score
