#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "extract_common.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/data/stored_features.h"
#include "pixart/data/transform.h"
#include "pixart/features/extract.h"
#include "pixart/run/stopped.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kEncodeBatch = 32;  // images per call of the autoencoder

// An image cut to its shape, or the reason why it is rejected.
struct Cut {
  int64_t row = 0;
  int height = 0, width = 0;  // of the source image
  uint8_t bucket = 0;
  uint32_t checksum = 0;   // of the encoded image
  at::Tensor pixels = {};  // [3, h, w] uint8
  at::Tensor stored = {};  // or, from a file of the official tools: [1, 2, L, h, w]
  std::optional<data::Rejection> rejection = {};
};

at::Tensor planes_of(const Image& image) {
  at::Tensor planes = at::empty({3, image.height, image.width}, at::kByte);
  data::copy_planes(image, planes.data_ptr<uint8_t>());
  return planes;
}

class LatentExtraction {
 public:
  LatentExtraction(const run::RunConfig& run, const run::StageConfig& stage, const data::SourceConfig& source,
                   const data::Dataset& dataset, const LatentCodec& codec, at::Device device)
      : run_(run), stage_(stage), source_(source), dataset_(dataset), codec_(codec), device_(device) {
    if (stage.aspect_buckets) buckets_ = data::aspect_buckets(int(stage.resolution));
    for (const auto& rejection : data::rejected_images(dataset)) known_[rejection.row] = rejection;
  }

  data::FeatureWork work() {
    const int64_t record = latent_record_bytes(run_, stage_, codec_.config());
    data::FeatureWork result;
    result.folder = latent_set_folder(run_, stage_, source_.name);
    result.manifest = {.kind = "latents",
                       .source = source_.name,
                       .rows = dataset_.size(),
                       .rejected = 0,
                       .inputs = inputs(),
                       .shards = {}};
    result.items = dataset_.size();
    result.items_per_shard =
        std::max<int64_t>(1, int64_t(run_.features.shard_megabytes * double(1 << 20)) / record);
    result.compute_shard = [this](int64_t first, int64_t last) { return compute_shard(first, last); };
    result.write_index = [this, folder = result.folder](const std::vector<fs::path>& shards) {
      return data::write_latent_index(folder, shards, source_.name, dataset_);
    };
    result.stop = stop_requested;
    return result;
  }

  void show_progress(int64_t missing) {
    progress_ = std::make_unique<Progress>("encode images of " + source_.name, missing, "image");
  }

 private:
  bool is_half() const { return run_.features.latent_dtype == data::LatentDtype::kFloat16; }

  data::FeatureInputs inputs() const {
    return {{"pictures", dataset_.fingerprint()},
            codec_.input(),
            {"resolution", std::to_string(stage_.resolution)},
            {"transform", fmt::format("JPEG halved in decoding from a shorter side of {}; {}, centre crop",
                                      2 * data::decode_side(int(stage_.resolution)), resize_in_words())},
            {"mirrored", stage_.horizontal_flip ? "too" : "no"},
            {"stored_latents", has_stored() ? "taken where the source has some of this shape" : "none"},
            {"dtype", word_of(run_.features.latent_dtype)}};
  }

  std::string resize_in_words() const {
    if (buckets_.empty()) return "shorter side: bicubic resize";
    return fmt::format("nearest aspect bucket: covering {} resize",
                       buckets_.front().filter == data::Filter::kLanczos ? "Lanczos" : "bicubic");
  }

  Cut cut(int64_t row) const {
    Cut result{.row = row};
    if (const auto known = known_.find(row); known != known_.end()) {
      result.rejection = known->second;
      return result;
    }
    try {
      if (read_stored(result)) return result;
      const int side = int(stage_.resolution);
      const auto image = dataset_.reduced_image(row, data::decode_side(side));
      result.height = image.full_height, result.width = image.full_width;
      result.checksum = image.checksum;
      if (!buckets_.empty())
        result.bucket = uint8_t(data::nearest_bucket(buckets_, result.height, result.width));
      Image shaped;
      dataset_.on_sample(row, [&] {
        shaped = buckets_.empty() ? data::cover_and_crop(image, side, side)
                                  : data::resize_to_bucket(image, buckets_[result.bucket]);
      });
      result.pixels = planes_of(shaped);
    } catch (const data::BadSample& bad) {
      result.rejection = bad.rejection();
    }
    return result;
  }

  // Takes the latent that the source itself holds, if it has the stage's shape. The image is not opened, so
  // its size is taken to be the stage's.
  bool read_stored(Cut& result) const {
    const auto file = dataset_.row(result.row).latent_file;
    if (file.empty() || stage_.horizontal_flip || stage_.aspect_buckets) return false;
    data::StoredLatent latent;
    try {
      latent = data::read_stored_latent(file);
    } catch (const data::BadSample& bad) {
      auto rejection = bad.rejection();
      rejection.row = result.row;
      rejection.key = dataset_.row(result.row).key;
      throw data::BadSample(std::move(rejection));
    }
    const int64_t side = stage_.resolution / codec_.config().downscale();
    if (latent.mean.sizes() != at::IntArrayRef({codec_.config().latent_channels, side, side})) return false;
    result.height = result.width = int(stage_.resolution);
    result.stored = at::stack({latent.mean, latent.log_var}).unsqueeze(0);
    return true;
  }

  bool has_stored() const {
    for (int64_t row = 0; row < dataset_.size(); ++row)
      if (!dataset_.row(row).latent_file.empty()) return true;
    return false;
  }

  // [V, 2, L, h, w] for each image; all images have the same shape.
  std::vector<at::Tensor> encode(const std::vector<Cut>& cuts) const {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> pixels;
    for (const auto& one : cuts) pixels.push_back(one.pixels);
    const at::Tensor image = at::stack(pixels).to(device_).to(at::kFloat).div_(127.5).sub_(1.0);
    std::vector<at::Tensor> variants;
    for (int variant = 0; variant < (stage_.horizontal_flip ? 2 : 1); ++variant) {
      const auto moments = codec_.encode(variant == 0 ? image : image.flip({3}));
      variants.push_back(at::stack({moments.mean, moments.log_var}, 1));
    }
    return at::stack(variants, 1).cpu().unbind(0);
  }

  data::ShardWriter compute_shard(int64_t first, int64_t last) {
    std::vector<data::LatentRecord> records;
    std::vector<data::Rejection> rejected;
    std::map<uint8_t, std::vector<Cut>> waiting;  // by shape, until a batch is full
    const auto keep = [&](const Cut& one, const at::Tensor& moments) {
      records.push_back({.row = one.row,
                         .height = one.height,
                         .width = one.width,
                         .bucket = one.bucket,
                         .image = one.checksum,
                         .moments = is_half() ? moments.to(at::kHalf) : moments.clone()});
    };
    const auto flush = [&](std::vector<Cut>& cuts) {
      const auto moments = encode(cuts);
      for (size_t i = 0; i < cuts.size(); ++i) keep(cuts[i], moments[i]);
      cuts.clear();
    };
    int64_t next_row = first;
    Prefetch<int64_t, Cut> cuts(
        physical_cores(), 2 * kEncodeBatch,
        [&]() -> std::optional<int64_t> {
          return next_row < last ? std::optional(next_row++) : std::nullopt;
        },
        [this](int64_t row) { return cut(row); });
    while (auto one = cuts.next()) {
      if (stop_requested()) throw run::stopped("extraction; finished shards are kept");
      give_sign_of_life();
      if (progress_) progress_->update(++done_);
      if (one->rejection) {
        rejected.push_back(*one->rejection);
        continue;
      }
      if (one->stored.defined()) {
        keep(*one, one->stored);
        continue;
      }
      auto& batch = waiting[one->bucket];
      batch.push_back(std::move(*one));
      if (int64_t(batch.size()) == kEncodeBatch) flush(batch);
    }
    for (auto& [bucket, batch] : waiting)
      if (!batch.empty()) flush(batch);
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
    return [records = std::move(records), rejected = std::move(rejected),
            type = is_half() ? at::kHalf : at::kFloat](const fs::path& file) {
      data::write_latent_shard(file, records, rejected, type);
    };
  }

  const run::RunConfig& run_;
  const run::StageConfig& stage_;
  const data::SourceConfig& source_;
  const data::Dataset& dataset_;
  const LatentCodec& codec_;
  at::Device device_;
  std::vector<data::AspectBucket> buckets_;
  std::map<int64_t, data::Rejection> known_;  // rejected when the source was listed
  std::unique_ptr<Progress> progress_;
  int64_t done_ = 0;
};

}  // namespace

int64_t latent_record_bytes(const run::RunConfig& run, const run::StageConfig& stage,
                            const models::VaeConfig& vae) {
  const int64_t side = stage.resolution / vae.downscale();
  const int64_t element = run.features.latent_dtype == data::LatentDtype::kFloat16 ? 2 : 4;
  return 2 * vae.latent_channels * side * side * element * (stage.horizontal_flip ? 2 : 1);
}

fs::path latent_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source) {
  return features_folder(run) / fmt::format("{}-latents-{}{}{}", source, stage.resolution,
                                            stage.aspect_buckets ? "-aspect" : "",
                                            stage.horizontal_flip ? "-mirrored" : "");
}

data::LatentSet latent_set(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source, const data::Dataset& dataset, const LatentCodec& codec,
                           at::Device device, bool is_mended) {
  const auto& source_config = run.source(source);
  LatentExtraction extraction(run, stage, source_config, dataset, codec, device);
  const auto work = extraction.work();
  if (is_mended) mend(work);
  if (!data::has_feature_set(work.folder)) extraction.show_progress(data::num_missing_items(work));
  make(work);
  return data::LatentSet(work.folder);
}

}  // namespace pixart::features
