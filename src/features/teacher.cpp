#include "pixart/features/teacher.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/nn/device.h"

namespace pixart::features {

namespace {

TeacherSizes clip_grid_of(const models::ClipConfig& config) {
  return {.channels = config.vision.width, .side = config.image_size / config.patch_size};
}

// As all CLIP models take it.
at::Tensor clip_normalized(const at::Tensor& image) {
  const auto per_channel = [&](std::initializer_list<float> values) {
    return nn::on_device(at::tensor(values).view({1, 3, 1, 1}), image.device());
  };
  const at::Tensor mean = per_channel({0.48145466F, 0.4578275F, 0.40821073F}),
                   deviation = per_channel({0.26862954F, 0.26130258F, 0.27577711F});
  return ((image + 1) / 2 - mean) / deviation;
}

}  // namespace

TeacherSizes teacher_sizes(const std::filesystem::path& folder) {
  return clip_grid_of(models::check_clip_folder(folder));
}

Teacher::Teacher(const std::filesystem::path& folder, at::Device device)
    : folder_(folder), clip_(models::load_clip(folder, device)) {}

TeacherSizes Teacher::sizes() const { return clip_grid_of(clip_.model->config()); }

at::Tensor Teacher::features(const at::Tensor& image) const {
  const at::NoGradGuard no_grad;
  const nn::FullFloat32 no_tf32;
  const int64_t side = clip_.model->config().image_size, patches = sizes().side;
  at::Tensor resized = image.to(at::kFloat);
  if (resized.size(2) != side || resized.size(3) != side)
    resized = at::_upsample_bicubic2d_aa(resized, {side, side}, /*align_corners=*/false).clamp(-1, 1);
  std::vector<at::Tensor> hidden;
  clip_.model->image_features(clip_normalized(resized), &hidden);
  const at::Tensor tokens = hidden.back().slice(1, 1);  // without the class token
  return tokens.transpose(1, 2).unflatten(2, {patches, patches}).to(at::kFloat);
}

std::shared_ptr<const models::AlignmentProjection> add_projection(const run::StageConfig& stage,
                                                                  int64_t width, nn::StateDict& state) {
  if (!stage.alignment.is_on()) return nullptr;
  const models::AlignmentSizes sizes{.width = width,
                                     .hidden = stage.alignment.hidden_size,
                                     .channels = teacher_sizes(*stage.alignment.teacher).channels};
  return std::make_shared<const models::AlignmentProjection>(nn::Scope(state), sizes);
}

data::FeatureInputs Teacher::inputs() const {
  const int64_t side = clip_.model->config().image_size;
  return {
      folder_input("teacher", folder_),
      {"features", fmt::format("patch tokens after the last block, of the image at {} x {}", side, side)}};
}

}  // namespace pixart::features
