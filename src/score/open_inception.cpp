// Opens the published weights, and says what other files are.
#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>

#include "inception.h"
#include "pixart/base/error.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/weights.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

constexpr const char* kPublished = "6726825d";  // the SHA-256 of the published file begins so
constexpr const char* kWhereToGet =
    "FID needs pt_inception-2015-12-05-6726825d.pth from the releases of github.com/mseitzer/pytorch-fid "
    "(torch-fidelity's weights-inception-2015-12-05-6726825d.pth is the same)";

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

void refuse_other_networks(const formats::Weights& weights, const fs::path& file) {
  const auto fc = weights.tensors.find("fc.weight");
  const bool has_other_classes =
      fc != weights.tensors.end() && fc->second.shape != std::vector<int64_t>{kClasses, kFeatures};
  const bool has_auxiliary =
      std::any_of(weights.tensors.begin(), weights.tensors.end(),
                  [](const auto& item) { return item.first.starts_with("AuxLogits."); });
  if (has_other_classes || has_auxiliary)
    throw UserError(fmt::format(
        "{}: these are torchvision's weights of inception_v3 (1000 classes), with which a distance would not "
        "be an FID. {}.",
        file.string(), kWhereToGet));
  if (!weights.tensors.contains("Conv2d_1a_3x3.conv.weight"))
    throw UserError(
        fmt::format("{}: these are not weights of Inception v3. {}.", file.string(), kWhereToGet));
}

std::string hash_of_tensors(const std::map<std::string, at::Tensor>& tensors) {
  formats::Sha256 hash;
  for (const auto& [name, tensor] : tensors) add_tensor(hash, name, tensor);
  return hash.hex();
}

std::map<std::string, at::Tensor> read_tensors(const formats::Weights& weights) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, info] : weights.tensors)
    if (!name.ends_with(".num_batches_tracked"))
      tensors[name] = weights.read(name).to(at::kFloat).contiguous();
  return tensors;
}

}  // namespace

OpenedInception open_inception(const fs::path& file, c10::Device device) {
  if (!fs::is_regular_file(file))
    throw UserError(fmt::format("{} is not a file of weights. {}.", file.string(), kWhereToGet));
  const auto weights = formats::open_weights(file);
  refuse_other_networks(weights, file);
  const std::string sha256 = formats::sha256_of_file(file), named = hash_in_name(file);
  if (!named.empty() && !sha256.starts_with(named))
    throw UserError(fmt::format(
        "{}: its SHA-256 begins with {}, not with the {} of its name: the file is damaged, or cut off. "
        "Download it again.",
        file.string(), sha256.substr(0, named.size()), named));
  const auto tensors = read_tensors(weights);
  return {.network = Inception(tensors, file.string(), device),
          .file_sha256 = sha256,
          .tensors_sha256 = hash_of_tensors(tensors),
          .is_published = sha256.starts_with(kPublished)};
}

}  // namespace pixart::score
