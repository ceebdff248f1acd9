// The teacher of a stage with alignment (models/alignment.h): the image transformer of a CLIP folder.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>

#include "pixart/data/feature_set.h"
#include "pixart/models/alignment.h"
#include "pixart/models/clip.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

struct TeacherSizes {
  int64_t channels = 0, side = 0;  // features of an image: [channels, side, side]
};
TeacherSizes teacher_sizes(const std::filesystem::path& folder);  // reads no weight; throws UserError

class Teacher {
 public:
  Teacher(const std::filesystem::path& folder, at::Device device);  // throws UserError

  // [B, 3, h, w] in [-1, 1] -> [B, C, P, P] float32: the patch tokens after the last block, without its norm. The
  // image is resized to the side of the model's own images, bicubic with antialiasing; its sides may differ. Without
  // gradients.
  at::Tensor features(const at::Tensor& image) const;
  TeacherSizes sizes() const;
  at::Device device() const { return clip_.state->options().device; }
  data::FeatureInputs inputs() const;  // what the features depend on besides the image; reads the folder

 private:
  std::filesystem::path folder_;
  models::LoadedClip clip_;
};

// The projection of a stage with alignment, whose tensors are added to the model's `state`; null for other stages.
std::shared_ptr<const models::AlignmentProjection> add_projection(const run::StageConfig& stage,
                                                                  int64_t width, nn::StateDict& state);

}  // namespace pixart::features
