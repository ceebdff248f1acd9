#include "pixart/train/features.h"

#include <ATen/ATen.h>

#include <unordered_map>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "pixart/data/transform.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPreloadLimit = int64_t{2} << 30;  // bytes of decoded pictures kept in memory
constexpr int64_t kEncodeBatch = 64;

// One picture, resized and cropped, into `out` [3, R, R] uint8; its original size into `size` [2].
void load_picture(const data::Dataset& dataset, int64_t row, int64_t resolution, uint8_t* out, float* size) {
  const Image picture = dataset.picture(row);
  if (size != nullptr) size[0] = float(picture.height), size[1] = float(picture.width);
  const Image image = data::resize_and_crop(picture, int(resolution));
  const int64_t area = resolution * resolution;
  for (int64_t i = 0; i < area; ++i)
    for (int64_t c = 0; c < 3; ++c) out[c * area + i] = image.rgb[size_t(i * 3 + c)];
}

fs::path cache_path(const RunFolder& folder, const std::string& what, const std::string& source,
                    const std::string& fingerprint) {
  return folder.cache() / fmt::format("{}-{}-{}.safetensors", what, source, fingerprint.substr(0, 12));
}

}  // namespace

PictureSource::PictureSource(const data::Dataset& dataset, int64_t resolution)
    : dataset_(dataset), resolution_(resolution) {}

void PictureSource::preload() {
  const int64_t n = dataset_.size(), bytes = 3 * resolution_ * resolution_;
  if (pixels_.defined() || n * bytes > kPreloadLimit) return;
  at::Tensor pixels = at::empty({n, 3, resolution_, resolution_}, at::kByte);
  original_sizes_ = at::empty({n, 2}, at::kFloat);
  Progress progress("load pictures", n, "picture");
  for (int64_t first = 0; first < n; first += kEncodeBatch * 16) {
    const int64_t count = std::min<int64_t>(kEncodeBatch * 16, n - first);
    for_each_in_parallel(count, [&](int64_t i) {
      load_picture(dataset_, first + i, resolution_, pixels.data_ptr<uint8_t>() + (first + i) * bytes,
                   original_sizes_.data_ptr<float>() + (first + i) * 2);
    });
    progress.update(first + count);
  }
  pixels_ = pixels;
}

at::Tensor PictureSource::batch(const std::vector<int64_t>& rows) const {
  at::Tensor pixels;
  if (pixels_.defined()) {
    pixels = pixels_.index_select(0, at::tensor(rows, at::kLong));
  } else {
    pixels = at::empty({int64_t(rows.size()), 3, resolution_, resolution_}, at::kByte);
    for_each_in_parallel(int64_t(rows.size()), [&](int64_t i) {
      load_picture(dataset_, rows[size_t(i)], resolution_,
                   pixels.data_ptr<uint8_t>() + i * 3 * resolution_ * resolution_, nullptr);
    });
  }
  return pixels.to(at::kFloat).div_(127.5).sub_(1.0);
}

namespace {

LatentFeatures encode_source(const data::Dataset& dataset, int64_t resolution, const LatentCodec& codec,
                             at::Device device) {
  at::NoGradGuard no_grad;
  const int64_t n = dataset.size(), side = resolution / codec.config().downscale(),
                channels = codec.config().latent_channels;
  LatentFeatures result{at::empty({n, channels, side, side}), at::empty({n, channels, side, side}),
                        at::empty({n, 2})};
  at::Tensor pixels = at::empty({kEncodeBatch, 3, resolution, resolution}, at::kByte);
  Progress progress("encode pictures", n, "picture");
  for (int64_t first = 0; first < n; first += kEncodeBatch) {
    const int64_t count = std::min(kEncodeBatch, n - first);
    for_each_in_parallel(count, [&](int64_t i) {
      load_picture(dataset, first + i, resolution,
                   pixels.data_ptr<uint8_t>() + i * 3 * resolution * resolution,
                   result.original_sizes.data_ptr<float>() + (first + i) * 2);
    });
    const auto image = pixels.narrow(0, 0, count).to(device, at::kFloat).div_(127.5).sub_(1.0);
    const auto moments = codec.encode(image);
    result.mean.narrow(0, first, count).copy_(moments.mean);
    result.std.narrow(0, first, count).copy_((0.5 * moments.log_var).exp());
    progress.update(first + count);
  }
  return result;
}

}  // namespace

LatentFeatures latent_features(const RunFolder& folder, const data::Dataset& dataset,
                               const std::string& source_name, int64_t resolution, const LatentCodec& codec,
                               at::Device device) {
  const std::string fingerprint = formats::sha256(
      fmt::format("latents 1 {} {} {}", dataset.fingerprint(), resolution, codec.fingerprint()));
  const fs::path path = cache_path(folder, "latents", source_name, fingerprint);
  if (!fs::exists(path)) {
    const auto made = encode_source(dataset, resolution, codec, device);
    create_folders(folder.cache());
    formats::save_safetensors(
        path, {{"mean", made.mean}, {"std", made.std}, {"original_sizes", made.original_sizes}},
        {{"fingerprint", fingerprint}});
    return made;
  }
  const auto file = formats::load_safetensors(path);
  return {file.tensors.at("mean"), file.tensors.at("std"), file.tensors.at("original_sizes")};
}

CaptionFeatures::CaptionFeatures(at::Tensor packed, at::Tensor offsets, at::Tensor caption_of,
                                 int64_t max_tokens)
    : packed_(std::move(packed)), max_tokens_(max_tokens) {
  offsets_.assign(offsets.data_ptr<int64_t>(), offsets.data_ptr<int64_t>() + offsets.numel());
  caption_of_.assign(caption_of.data_ptr<int64_t>(), caption_of.data_ptr<int64_t>() + caption_of.numel());
}

EncodedText CaptionFeatures::batch(const std::vector<int64_t>& rows) const {
  const int64_t count = int64_t(rows.size());
  EncodedText result{at::zeros({count, max_tokens_, channels()}), at::zeros({count, max_tokens_}, at::kLong),
                     0};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t caption = caption_of_[size_t(rows[size_t(i)])];
    const int64_t first = offsets_[size_t(caption)], length = offsets_[size_t(caption) + 1] - first;
    result.features[i].narrow(0, 0, length).copy_(packed_.narrow(0, first, length));
    result.mask[i].narrow(0, 0, length).fill_(1);
  }
  return result;
}

namespace {

void warn_of_cut_captions(int64_t num_cut, size_t num_captions, const std::string& source,
                          int64_t max_tokens) {
  if (num_cut == 0) return;
  log::warning("source {}: {} of {} captions are longer than text_encoder.max_tokens = {} and lose their end",
               source, num_cut, num_captions, max_tokens);
}

formats::TensorFile encode_captions(const data::Dataset& dataset, const std::string& source,
                                    const CaptionEncoder& encoder) {
  std::unordered_map<std::string, int64_t> known;
  std::vector<std::string> distinct;
  at::Tensor caption_of = at::empty({dataset.size()}, at::kLong);
  for (int64_t row = 0; row < dataset.size(); ++row) {
    const auto [entry, is_new] = known.try_emplace(dataset.caption(row), int64_t(distinct.size()));
    if (is_new) distinct.push_back(entry->first);
    caption_of[row] = entry->second;
  }
  std::vector<at::Tensor> pieces;
  std::vector<int64_t> offsets = {0};
  int64_t num_cut = 0;
  Progress progress("encode captions", int64_t(distinct.size()), "caption");
  for (size_t first = 0; first < distinct.size(); first += size_t(kEncodeBatch)) {
    const size_t last = std::min(distinct.size(), first + size_t(kEncodeBatch));
    const auto encoded =
        encoder.encode({distinct.begin() + int64_t(first), distinct.begin() + int64_t(last)});
    num_cut += encoded.num_cut;
    const auto lengths = encoded.mask.sum(1).cpu();
    for (int64_t i = 0; i < lengths.numel(); ++i) {
      const int64_t length = lengths[i].item<int64_t>();
      pieces.push_back(encoded.features[i].narrow(0, 0, length).cpu());
      offsets.push_back(offsets.back() + length);
    }
    progress.update(int64_t(last));
  }
  warn_of_cut_captions(num_cut, distinct.size(), source, encoder.max_tokens());
  return {
      {{"packed", at::cat(pieces)}, {"offsets", at::tensor(offsets, at::kLong)}, {"caption_of", caption_of}},
      {}};
}

}  // namespace

CaptionFeatures caption_features(const RunFolder& folder, const data::Dataset& dataset,
                                 const std::string& source_name, const CaptionEncoder& encoder) {
  const std::string fingerprint =
      formats::sha256(fmt::format("captions 1 {} {}", dataset.fingerprint(), encoder.fingerprint()));
  const fs::path path = cache_path(folder, "captions", source_name, fingerprint);
  formats::TensorFile file;
  if (fs::exists(path)) {
    file = formats::load_safetensors(path);
  } else {
    file = encode_captions(dataset, source_name, encoder);
    create_folders(folder.cache());
    formats::save_safetensors(path,
                              {{"packed", file.tensors["packed"]},
                               {"offsets", file.tensors["offsets"]},
                               {"caption_of", file.tensors["caption_of"]}},
                              {{"fingerprint", fingerprint}});
  }
  return {file.tensors.at("packed"), file.tensors.at("offsets"), file.tensors.at("caption_of"),
          encoder.max_tokens()};
}

}  // namespace pixart::train
