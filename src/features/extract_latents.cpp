#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "extract_common.h"
#include "former_latents.h"
#include "image_cut.h"
#include "make_set.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/words.h"
#include "pixart/data/feature_update.h"
#include "pixart/data/stored_features.h"
#include "pixart/data/transform.h"
#include "pixart/features/extract.h"
#include "pixart/features/teacher.h"
#include "pixart/run/stopped.h"
#include "set_progress.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kImageBatch = 32;  // images per call of the autoencoder

// An image cut to its shape, or the reason why it is rejected.
struct Cut {
  int64_t row = 0;
  int height = 0, width = 0;  // of the source image
  uint8_t bucket = 0;
  uint32_t checksum = 0;   // of the encoded image
  at::Tensor pixels = {};  // [3, h, w] uint8
  at::Tensor stored = {};  // or, from a file of the official tools: [1, 2, L, h, w]
  at::Tensor former = {};  // or, from the former set: [V, 2, L, h, w]
  int64_t former_batch = 0;
  std::optional<data::Rejection> rejection = {};
};

at::Tensor planes_of(const Image& image) {
  at::Tensor planes = at::empty({3, image.height, image.width}, at::kByte);
  data::copy_planes(image, planes.data_ptr<uint8_t>());
  return planes;
}

// What is computed of images: latents, or what a teacher sees.
struct ImageEncoding {
  std::string kind, what;      // in the manifest, and for people
  data::FeatureInputs inputs;  // what it depends on besides the images
  data::LatentDtype dtype;
  int64_t record_bytes = 0;
  std::optional<data::LatentSet::Shape> stored =
      {};  // of what a source may hold itself, for one shape of images
  std::function<at::Tensor(const at::Tensor&)> compute;  // [B, 3, h, w] in [-1, 1] -> [B, 2, L, h', w']
};

class LatentExtraction {
 public:
  LatentExtraction(const run::RunConfig& run, const run::StageConfig& stage, const data::SourceConfig& source,
                   const data::Dataset& dataset, ImageEncoding encoding, at::Device device)
      : run_(run),
        stage_(stage),
        source_(source),
        dataset_(dataset),
        encoding_(std::move(encoding)),
        device_(device),
        cutter_(stage) {
    for (const auto& rejection : data::rejected_images(dataset)) known_[rejection.row] = rejection;
  }

  data::FeatureWork work(const fs::path& folder) {
    data::FeatureWork result;
    result.folder = folder;
    result.manifest = {.kind = encoding_.kind,
                       .source = source_.name,
                       .rows = dataset_.size(),
                       .rejected = 0,
                       .inputs = inputs(),
                       .shards = {}};
    result.items = dataset_.size();
    result.items_per_shard = std::max<int64_t>(
        1, int64_t(run_.features.shard_megabytes * double(1 << 20)) / encoding_.record_bytes);
    result.compute_shard = [this](int64_t first, int64_t last) { return compute_shard(first, last); };
    result.write_index = [this, folder](const std::vector<fs::path>& shards) {
      data::write_row_keys(folder, dataset_);
      return data::write_latent_index(folder, shards, source_.name, dataset_);
    };
    result.writes_keys = true;
    result.stop = stop_requested;
    return result;
  }

  void show_progress(const data::FeatureWork& work) {
    progress_.emplace(fmt::format("{} of images of {}", encoding_.what, source_.name), "image", work);
  }
  void end_progress() {
    if (progress_) progress_->finish();
    progress_.reset();
    if (former_)
      log::info("source {}: this process took over the {} of {} images from the former set", source_.name,
                encoding_.what, num_taken_);
    former_.reset();
  }
  void take_from(const fs::path& folder) { former_.emplace(folder, encoding_.kind, kImageBatch); }

 private:
  bool is_half() const { return encoding_.dtype == data::LatentDtype::kFloat16; }

  data::FeatureInputs inputs() const {
    data::FeatureInputs inputs = {{.name = "pictures",
                                   .value = dataset_.fingerprint(),
                                   .hint = std::string(kHowToUpdate),
                                   .of_samples = true}};
    inputs.insert(inputs.end(), encoding_.inputs.begin(), encoding_.inputs.end());
    const data::FeatureInputs others = {
        {"resolution", resolutions_in_words()},
        {"transform", fmt::format("JPEG halved in decoding from a shorter side of {}; {}, centre crop",
                                  decode_sides_in_words(), resize_in_words())},
        {"mirrored", stage_.horizontal_flip ? "too" : "no"},
        {.name = "stored_latents",
         .value = has_stored() ? "taken where the source has some of this shape" : "none",
         .of_samples = true},
        {"dtype", word_of(encoding_.dtype)}};
    inputs.insert(inputs.end(), others.begin(), others.end());
    if (source_.damaged_images != formats::DamagedImages::kReject)  // older sets do not have it
      inputs.push_back({"damaged_images", word_of(source_.damaged_images)});
    if (stage_.encoded_control.is_on()) inputs.push_back({"control", stage_.encoded_control.name()});
    return inputs;
  }

  // With several resolutions also what decides which of them an image has.
  std::string resolutions_in_words() const {
    if (stage_.resolutions.empty()) return std::to_string(stage_.resolution);
    const bool reads_shares = stage_.resolution_rule == data::ResolutionRule::kShare;
    std::vector<std::string> words;
    for (const auto& one : stage_.resolutions)
      words.push_back(reads_shares ? fmt::format("{} (share {})", one.side, one.share)
                                   : std::to_string(one.side));
    return fmt::format("{}; rule: {}", join(words, ", "), word_of(stage_.resolution_rule));
  }

  std::string decode_sides_in_words() const {
    std::vector<std::string> words;
    for (const auto& one : cutter_.shapes.config().resolutions)
      words.push_back(std::to_string(2 * data::decode_side(one.side)));
    return join(words, ", ");
  }

  std::string resize_in_words() const {
    if (!stage_.aspect_buckets) return "shorter side: bicubic resize";
    std::vector<std::string> words;
    for (size_t bucket = 0; bucket < cutter_.shapes.size(); ++bucket) {
      const bool is_lanczos = cutter_.shapes.at(bucket).filter == data::Filter::kLanczos;
      if (const char* word = is_lanczos ? "Lanczos" : "bicubic"; words.empty() || words.back() != word)
        words.push_back(word);
    }
    return fmt::format("nearest aspect bucket: covering {} resize", join(words, ", "));
  }

  Cut cut(int64_t row, bool takes_former = true) const {
    Cut result{.row = row};
    if (const auto known = known_.find(row); known != known_.end()) {
      result.rejection = known->second;
      return result;
    }
    try {
      if (!read_stored(result) && !(takes_former && take_former(result))) cut_image(result);
    } catch (const data::BadSample& bad) {
      result.rejection = bad.rejection();
    }
    return result;
  }

  void cut_image(Cut& result) const {
    const CutImage cut = cutter_.cut(dataset_, result.row);
    result.height = cut.height, result.width = cut.width;
    result.bucket = cut.bucket, result.checksum = cut.checksum;
    result.pixels = planes_of(cut.image);
  }

  // Takes the latent that the source itself holds, if it has the stage's shape. The image is not opened, so
  // its size is taken to be the stage's.
  bool read_stored(Cut& result) const {
    const auto file = dataset_.outline(result.row).latent_file;
    if (file.empty() || !encoding_.stored || stage_.horizontal_flip || stage_.has_buckets() ||
        stage_.encoded_control.is_on())
      return false;
    data::StoredLatent latent;
    try {
      latent = data::read_stored_latent(file);
    } catch (const data::BadSample& bad) {
      auto rejection = bad.rejection();
      rejection.row = result.row;
      rejection.key = dataset_.key(result.row);
      throw data::BadSample(std::move(rejection));
    }
    const auto& [channels, height, width] = *encoding_.stored;
    if (latent.mean.sizes() != at::IntArrayRef({channels, height, width})) return false;
    result.height = result.width = int(stage_.resolution);
    result.stored = at::stack({latent.mean, latent.log_var}).unsqueeze(0);
    return true;
  }

  bool take_former(Cut& result) const {
    auto found = former_ ? former_->find(dataset_, result.row) : std::nullopt;
    if (!found) return false;
    result.height = int(found->item.height), result.width = int(found->item.width);
    result.bucket = found->item.bucket, result.checksum = found->checksum;
    result.former = std::move(found->moments), result.former_batch = found->batch;
    return true;
  }

  bool has_stored() const {
    if (stage_.encoded_control.is_on()) return false;
    if (!encoding_.stored) return false;
    for (int64_t row = 0; row < dataset_.size(); ++row)
      if (!dataset_.outline(row).latent_file.empty()) return true;
    return false;
  }

  // [V, 2, L, h, w] for each image, in a batch of `size` images; all have the same shape.
  std::vector<at::Tensor> encode(const std::vector<Cut>& cuts, size_t size) const {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> pixels;
    for (const auto& one : cuts) pixels.push_back(one.pixels);
    pixels.resize(size, pixels.front());  // results of copies are dropped
    const at::Tensor image = at::stack(pixels).to(device_).to(at::kFloat).div_(127.5).sub_(1.0);
    std::vector<at::Tensor> variants;
    for (int variant = 0; variant < (stage_.horizontal_flip ? 2 : 1); ++variant)
      variants.push_back(encoding_.compute(variant == 0 ? image : image.flip({3})));
    return at::stack(variants, 1).cpu().unbind(0);
  }

  // A shard that is made. Each image is encoded in a batch of the size that it has in a set without a former one,
  // and is taken over if that was the size then: the last bits of its latents may depend on it.
  struct Shard {
    std::vector<data::LatentRecord> records = {};
    std::vector<data::Rejection> rejected = {};
    std::map<uint8_t, std::vector<Cut>> waiting = {};                      // by shape, until a batch is full
    std::map<std::pair<uint8_t, size_t>, std::vector<Cut>> encoding = {};  // by shape and size of the batch
  };

  void keep(Shard& shard, const Cut& one, const at::Tensor& moments) const {
    shard.records.push_back({.row = one.row,
                             .height = one.height,
                             .width = one.width,
                             .bucket = one.bucket,
                             .image = one.checksum,
                             .moments = is_half() ? moments.to(at::kHalf) : moments.clone()});
  }

  void encode_and_keep(Shard& shard, std::vector<Cut>& cuts, size_t size) const {
    const auto moments = encode(cuts, size);
    for (size_t i = 0; i < cuts.size(); ++i) keep(shard, cuts[i], moments[i]);
    cuts.clear();
  }

  // A batch of the set: takes over what it can, and encodes the rest once there are as many images.
  void settle(Shard& shard, std::vector<Cut>& batch) {
    const size_t size = batch.size();
    for (auto& one : batch) {
      if (one.former.defined() && one.former_batch == int64_t(size)) {
        keep(shard, one, one.former);
        ++num_taken_;
        continue;
      }
      if (one.former.defined()) one = cut(one.row, /*takes_former=*/false);
      if (one.rejection) {  // the image has changed just now
        shard.rejected.push_back(*one.rejection);
        continue;
      }
      auto& cuts = shard.encoding[{one.bucket, size}];
      cuts.push_back(std::move(one));
      if (cuts.size() == size) encode_and_keep(shard, cuts, size);
    }
    batch.clear();
  }

  void add(Shard& shard, Cut one) {
    if (one.rejection) {
      shard.rejected.push_back(*one.rejection);
      return;
    }
    if (one.stored.defined()) return keep(shard, one, one.stored);
    auto& batch = shard.waiting[one.bucket];
    batch.push_back(std::move(one));
    if (int64_t(batch.size()) == kImageBatch) settle(shard, batch);
  }

  void finish(Shard& shard) {
    for (auto& [bucket, batch] : shard.waiting) settle(shard, batch);
    for (auto& [shape, cuts] : shard.encoding)
      if (!cuts.empty()) encode_and_keep(shard, cuts, shape.second);
    std::sort(shard.records.begin(), shard.records.end(),
              [](const auto& a, const auto& b) { return a.row < b.row; });
  }

  data::ShardWriter compute_shard(int64_t first, int64_t last) {
    Shard shard;
    int64_t next_row = first;
    Prefetch<int64_t, Cut> cuts(
        physical_cores(), 2 * kImageBatch,
        [&]() -> std::optional<int64_t> {
          return next_row < last ? std::optional(next_row++) : std::nullopt;
        },
        [this](int64_t row) { return cut(row); });
    while (auto one = cuts.next()) {
      if (stop_requested()) throw run::stopped("extraction; finished shards are kept");
      give_sign_of_life();
      if (progress_) progress_->add(1);
      add(shard, *std::move(one));
    }
    finish(shard);
    return [records = std::move(shard.records), rejected = std::move(shard.rejected),
            type = is_half() ? at::kHalf : at::kFloat](const fs::path& file) {
      data::write_latent_shard(file, records, rejected, type);
    };
  }

  const run::RunConfig& run_;
  const run::StageConfig& stage_;
  const data::SourceConfig& source_;
  const data::Dataset& dataset_;
  const ImageEncoding encoding_;
  at::Device device_;
  const ImageCutter cutter_;
  std::map<int64_t, data::Rejection> known_;  // rejected when the source was listed
  std::optional<FormerLatents> former_;       // what is taken over when the source has changed
  int64_t num_taken_ = 0;
  std::optional<SetProgress> progress_;
};

ImageEncoding latent_encoding(const run::RunConfig& run, const run::StageConfig& stage,
                              const LatentCodec& codec) {
  const int64_t side = stage.resolution / codec.config().downscale();
  return {.kind = data::kLatentKind,
          .what = "latents",
          .inputs = {codec.input()},
          .dtype = run.features.latent_dtype,
          .record_bytes = latent_record_bytes(run, stage, codec.config()),
          .stored = data::LatentSet::Shape{codec.config().latent_channels, side, side},
          .compute = [&codec](const at::Tensor& image) {
            const auto moments = codec.encode(image);
            return at::stack({moments.mean, moments.log_var}, 1);
          }};
}

ImageEncoding teacher_encoding(const run::StageConfig& stage, const Teacher& teacher) {
  return {.kind = data::kTeacherKind,
          .what = "a teacher's features",
          .inputs = teacher.inputs(),
          .dtype = data::LatentDtype::kFloat16,
          .record_bytes = teacher_record_bytes(stage, teacher.sizes()),
          .compute = [&teacher](const at::Tensor& image) {
            return teacher.features(image).unflatten(1, {2, -1});
          }};
}

void make_image_set(const run::RunConfig& run, const fs::path& folder, LatentExtraction& extraction,
                    const SetOptions& options) {
  make_set(run, folder,
           {.work = [&](const fs::path& place) { return extraction.work(place); },
            .begin = [&](data::FeatureWork& work) { extraction.show_progress(work); },
            .end = [&] { extraction.end_progress(); },
            .take_from = [&](const fs::path& former) { extraction.take_from(former); }},
           options);
}

}  // namespace

data::LatentSet latent_set(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source, const data::Dataset& dataset, const LatentCodec& codec,
                           at::Device device, const SetOptions& options) {
  LatentExtraction extraction(run, stage, run.source(source), dataset, latent_encoding(run, stage, codec),
                              device);
  const fs::path folder = latent_set_folder(run, stage, source);
  make_image_set(run, folder, extraction, options);
  return data::LatentSet(folder);
}

data::LatentSet teacher_set(const run::RunConfig& run, const run::StageConfig& stage,
                            const std::string& source, const data::Dataset& dataset, const Teacher& teacher,
                            const SetOptions& options) {
  LatentExtraction extraction(run, stage, run.source(source), dataset, teacher_encoding(stage, teacher),
                              teacher.device());
  const fs::path folder = teacher_set_folder(run, stage, source);
  make_image_set(run, folder, extraction, options);
  return data::LatentSet(folder, data::kTeacherKind);
}

}  // namespace pixart::features
