// Opens the published weights, and says what other files are.
#include <ATen/ATen.h>

#include <algorithm>

#include "inception.h"
#include "network_file.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/weights.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

constexpr const char* kPublishedInception = "6726825d";  // the SHA-256 of the published file begins so
constexpr const char* kWhereToGet =
    "FID needs pt_inception-2015-12-05-6726825d.pth from the releases of github.com/mseitzer/pytorch-fid "
    "(torch-fidelity's weights-inception-2015-12-05-6726825d.pth is the same)";

void refuse_other_networks(const formats::Weights& weights, const fs::path& file) {
  if (!weights.tensors.contains("Conv2d_1a_3x3.conv.weight"))
    throw UserError(
        fmt::format("{}: these are not weights of Inception v3. {}.", file.string(), kWhereToGet));
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
}

formats::Weights open_file(const fs::path& file) {
  if (!fs::is_regular_file(file))
    throw UserError(fmt::format("{} {}. {}.", file.string(),
                                fs::exists(file) ? "is not a file of weights" : "does not exist",
                                kWhereToGet));
  auto weights = formats::open_weights(file);
  refuse_other_networks(weights, file);
  return weights;
}

}  // namespace

void check_inception(const fs::path& file) {
  const auto weights = open_file(file);
  Problems problems;
  for (const auto& [name, shape] : inception_shapes()) {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end())
      problems.add("missing: " + name);
    else if (found->second.shape != shape)
      problems.add(fmt::format("{} is {}, not {}", name, shape_text(found->second.shape), shape_text(shape)));
  }
  problems.throw_if_any(file.string());
  hash_of_network_file(file);
}

OpenedInception open_inception(const fs::path& file, c10::Device device) {
  const NetworkFile read = read_network_file(file, open_file(file));
  return {.network = Inception(read.tensors, file.string(), device),
          .file_sha256 = read.file_sha256,
          .tensors_sha256 = read.tensors_sha256,
          .is_published = read.file_sha256.starts_with(kPublishedInception)};
}

}  // namespace pixart::score
