#include "drawn_reference.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "card_parts.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr int64_t kImageBatch = 32;
// Names in a kept file.
constexpr const char *kMean = "mean", *kCovariance = "covariance", *kNumRows = "rows", *kSquares = "squares",
                     *kSet = "images_sha256", *kContent = "sha256";

struct Missing {
  bool statistics = false, rows = false, squares = false;
  bool any() const { return statistics || rows || squares; }
};

Missing missing_of(const OpenedReference& reference, const DrawnScoresConfig& config) {
  const auto& file = reference.file;
  return {.statistics = config.wants(Metric::kFid) && !(file && (file->features || file->rows.defined())),
          .rows = config.needs_reference_rows() && !(file && file->rows.defined()),
          .squares = config.wants(Metric::kCmmd)};
}

ReferenceFeatures stored(const OpenedReference& reference) {
  ReferenceFeatures features;
  if (reference.images) features.count = reference.images->size;
  if (!reference.file) return features;
  const StatisticsFile& file = *reference.file;
  features.statistics = file.features;
  features.rows = file.rows;
  if (features.rows.defined() && !features.statistics) {
    Moments moments;
    moments.add(features.rows);
    features.statistics = moments.statistics();
  }
  if (features.count == 0 && features.rows.defined()) features.count = features.rows.size(0);
  if (features.count == 0 && features.statistics) features.count = features.statistics->count;
  const std::string images = stored_text(file, kImagesHash);
  features.is_statistics = images.empty();
  features.sha256 = images.empty() ? formats::sha256_of_file(reference.path) : images;
  features.says_resize = !file.features || !file.protocol.empty();
  return features;
}

void compute(const ImageList& images, const DrawnScoresConfig& config, const DrawnNetworks& networks,
             const Missing& missing, const std::function<void()>& progress, ReferenceFeatures& features) {
  std::string set;
  if (missing.statistics || missing.rows) {
    Moments moments;
    std::vector<at::Tensor> rows;
    set = for_each_batch(images, config.resize, kImageBatch, [&](const at::Tensor& batch) {
      progress();
      const at::Tensor some = networks.features(batch);
      moments.add(some);
      if (missing.rows) rows.push_back(some);
    });
    if (missing.statistics) features.statistics = moments.statistics();
    if (missing.rows) features.rows = at::cat(rows);
  }
  if (missing.squares) {
    std::vector<at::Tensor> rows;
    const int side = networks.clip_side();
    set = for_each_batch(
        images, side, [side](const Image& image) { return clip_input(image, ClipPixels::kSquare, side); },
        kImageBatch,
        [&](const at::Tensor& batch) {
          progress();
          rows.push_back(networks.embeddings(batch));
        });
    features.squares = at::cat(rows);
  }
  if (features.sha256.empty()) features.sha256 = set;
}

// What the computed features depend on.
std::string key_of(const OpenedReference& reference, const DrawnScoresConfig& config,
                   const DrawnNetworks& networks, const Missing& missing) {
  const std::string& listed = reference.images->fingerprint;
  return ordered_json{{"images", listed.empty() ? formats::sha256_of_file(reference.path) : listed},
                      {"inception", networks.inception ? networks.inception->tensors_sha256 : ""},
                      {"resize", word_of(config.resize)},
                      {"clip", missing.squares ? networks.clip_sha256 : ""},
                      {"device", at::DeviceTypeName(networks.device.type(), /*lower_case=*/true)},
                      {"parts", {missing.statistics, missing.rows, missing.squares}}}
      .dump();
}

using Kept = std::map<std::string, at::Tensor>;

std::string hash_of(const Kept& tensors) {
  formats::Sha256 hash;
  for (const auto& [name, tensor] : tensors) add_tensor(hash, name, tensor);
  return hash.hex();
}

void keep(const fs::path& file, const ReferenceFeatures& features, const Missing& missing) {
  Kept tensors;
  if (missing.statistics) tensors[kMean] = features.statistics->mean;
  if (missing.statistics) tensors[kCovariance] = features.statistics->covariance;
  if (missing.rows) tensors[kNumRows] = features.rows;
  if (missing.squares) tensors[kSquares] = features.squares;
  std::vector<formats::NamedTensor> named;
  for (const auto& [name, tensor] : tensors) named.push_back({name, tensor});
  try {
    create_folders(file.parent_path());
    formats::save_safetensors(file, named, {{kSet, features.sha256}, {kContent, hash_of(tensors)}});
  } catch (const UserError& error) {
    log::warning("the features of the reference are not kept, so the next start computes them again: {}",
                 error.what());
  }
}

// False: the file is missing or damaged.
bool read_kept(const fs::path& file, const Missing& missing, ReferenceFeatures& features) {
  std::error_code not_readable;
  if (!fs::exists(file, not_readable)) return false;
  try {
    auto kept = formats::load_safetensors(file);
    if (kept.metadata[kContent] != hash_of(kept.tensors)) throw UserError(file.string() + " is damaged");
    if (missing.statistics)
      features.statistics = {.mean = kept.tensors.at(kMean),
                             .covariance = kept.tensors.at(kCovariance),
                             .count = features.count};
    if (missing.rows) features.rows = kept.tensors.at(kNumRows);
    if (missing.squares) features.squares = kept.tensors.at(kSquares);
    if (features.sha256.empty()) features.sha256 = kept.metadata[kSet];
    return true;
  } catch (const std::exception& error) {
    log::warning("the features of the reference are computed again: {}", error.what());
    return false;
  }
}

}  // namespace

OpenedReference open_reference(const fs::path& path) {
  OpenedReference reference{.path = path};
  if (ascii_lower(path.extension().string()) != ".npz") {
    reference.images = open_images(path);
    return reference;
  }
  reference.file = read_statistics(path);
  if (reference.file->images.defined()) reference.images = images_of(reference.file->images, path.string());
  return reference;
}

void check_reference(const OpenedReference& reference, const DrawnScoresConfig& config, Problems& problems) {
  const Missing missing = missing_of(reference, config);
  const auto need = [&](bool lacks, const char* what, Metric metric) {
    if (lacks && config.wants(metric) && !reference.images)
      problems.add(fmt::format("{} has no {}, which {} needs: give the images themselves",
                               reference.path.string(), what, word_of(metric)));
  };
  need(missing.statistics, "mu and sigma", Metric::kFid);
  need(missing.rows, "features of each image", Metric::kKid);
  need(missing.rows, "features of each image", Metric::kPrecisionRecall);
  need(missing.squares, "images", Metric::kCmmd);
  const int64_t least = config.least_images();
  const auto& file = reference.file;
  const int64_t count = reference.images               ? reference.images->size
                        : file && file->rows.defined() ? file->rows.size(0)
                                                       : least;
  if (count < least)
    problems.add(
        fmt::format("{} has {} images; at least {} are needed", reference.path.string(), count, least));
}

void check_protocol(const OpenedReference& reference, const DrawnScoresConfig& config,
                    const std::string& tensors_sha256) {
  if (!reference.file || reference.file->protocol.empty() || !config.uses_inception()) return;
  Problems problems;
  const std::string rule = stored_text(*reference.file, kResize),
                    weights = stored_text(*reference.file, kWeightsHash);
  if (rule != word_of(config.resize))
    problems.add(fmt::format("{} was computed with the resize rule {}, and metrics.resize is {}",
                             reference.path.string(), rule, word_of(config.resize)));
  if (!tensors_sha256.empty() && weights != tensors_sha256)
    problems.add(fmt::format(
        "{} was computed with other weights than metrics.weights (SHA-256 of the tensors {}, here "
        "{})",
        reference.path.string(), weights.substr(0, 12), tensors_sha256.substr(0, 12)));
  problems.throw_if_any("the statistics of the reference were computed in another way");
}

ReferenceFeatures reference_features(const DrawnScoresConfig& config, const DrawnNetworks& networks,
                                     const fs::path& cache, const std::function<void()>& progress) {
  const auto reference = open_reference(config.reference);
  check_protocol(reference, config, networks.inception ? networks.inception->tensors_sha256 : std::string());
  ReferenceFeatures features = stored(reference);
  const Missing missing = missing_of(reference, config);
  if (!missing.any()) return features;
  PIXART_CHECK(reference.images, "{} passed check_reference()", config.reference.string());
  const fs::path file =
      cache / (formats::sha256(key_of(reference, config, networks, missing)) + ".safetensors");
  if (read_kept(file, missing, features)) return features;
  compute(*reference.images, config, networks, missing, progress, features);
  keep(file, features, missing);
  return features;
}

}  // namespace pixart::score
