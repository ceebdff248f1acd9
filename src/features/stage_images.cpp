#include "pixart/features/stage_images.h"

#include <algorithm>

#include "image_cut.h"
#include "image_memory.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::features {

struct StageImages::State {
  StageParts parts;
  data::TrainingShapes shapes;       // of the stage
  std::vector<ImageCutter> cutters;  // of each part
  ImageMemories memories;
  uint64_t seed;
  bool mirror, random_crop;
  int64_t latent_channels, downscale;
};

StageImages::StageImages(StageParts parts, const run::StageConfig& stage, const models::VaeConfig& vae,
                         uint64_t seed, const ImageMemoryPlace& memory)
    : state_(new State{.parts = parts,
                       .shapes = stage.shapes(),
                       .cutters = {},
                       .memories = {parts, memory},
                       .seed = seed,
                       .mirror = stage.horizontal_flip,
                       .random_crop = stage.encode.random_crop,
                       .latent_channels = vae.latent_channels,
                       .downscale = vae.downscale()}) {
  for (const auto& part : parts) state_->cutters.emplace_back(stage.at(part.resolution));
}
StageImages::~StageImages() = default;

StageImages::Size StageImages::size(uint8_t bucket) const {
  const auto& shape = state_->shapes.at(bucket);
  return {shape.height, shape.width};
}

std::vector<int64_t> StageImages::latent_shape(uint8_t bucket) const {
  const auto [height, width] = size(bucket);
  return {state_->latent_channels, height / state_->downscale, width / state_->downscale};
}

namespace {

// Turns the rows of [3, height, width] around.
void mirror(uint8_t* planes, int64_t height, int64_t width) {
  for (int64_t row = 0; row < 3 * height; ++row)
    std::reverse(planes + row * width, planes + (row + 1) * width);
}

std::optional<data::CropPlace> drawn_place(bool is_random, uint64_t seed, int64_t position) {
  if (!is_random) return std::nullopt;
  const RandomKey key{seed, uint64_t(position), Purpose::kCrop};
  return data::CropPlace{.top = uniform(key, 0), .left = uniform(key, 1)};
}

}  // namespace

StageImages::Size StageImages::read(size_t part, int64_t row, int64_t position, uint8_t bucket,
                                    uint8_t* planes) const {
  State& s = *state_;
  const auto& [source, dataset] = std::pair{s.parts[part].source, s.parts[part].dataset};
  const CutImage cut = s.cutters[part].cut(*dataset, row, drawn_place(s.random_crop, s.seed, position));
  s.memories.note(part, row, cut.checksum);
  if (s.parts[part].first_bucket + cut.bucket != bucket)
    throw UserError(
        fmt::format("source {}: {} has another size than when the sizes of its images were listed. "
                    "Restore it, or start a new run.",
                    source->name, dataset->key(row)));
  data::copy_planes(cut.image, planes);
  if (s.mirror && uniform({s.seed, uint64_t(position), Purpose::kFlip}) < 0.5)
    mirror(planes, cut.image.height, cut.image.width);
  return {cut.height, cut.width};
}

void StageImages::require_same() const { state_->memories.require_same(); }
void StageImages::save_checksums() const { state_->memories.save(); }

}  // namespace pixart::features
