// The networks of the scores of drawn images.
#pragma once
#include <ATen/Context.h>
#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "clip_pixels.h"
#include "inception.h"
#include "pixart/models/clip.h"
#include "pixart/nn/device.h"
#include "pixart/score/drawn_scores_config.h"

namespace pixart::score {

struct DrawnNetworks {
  std::optional<OpenedInception> inception = {};
  std::optional<models::LoadedClip> clip = {};
  std::string clip_sha256 = {};  // of names and values of CLIP's tensors
  c10::Device device = at::kCPU;

  int clip_side() const { return int(clip->model->config().image_size); }
  int64_t clip_width() const { return clip->model->config().embedding; }
  // Images as the network takes them -> rows of float32 on the CPU. Throws UserError(kNumerics) if a result is
  // not finite.
  at::Tensor features(const at::Tensor& batch) const;    // [B, 3, 299, 299] -> [B, 2048]
  at::Tensor embeddings(const at::Tensor& batch) const;  // [B, 3, side, side] -> [B, D], normalised
};

DrawnNetworks open_networks(const DrawnScoresConfig& config, c10::Device device);

// Planes of an image for each network.
std::vector<float> inception_input(const Image& image, ResizeRule rule);
std::vector<float> clip_input(const Image& image, ClipPixels rule, int side);

// While it exists, products and convolutions of float32 are computed in float32 on a GPU, too; then as before.
class AllFloat32 {
 public:
  AllFloat32() : before_(at::globalContext().allowTF32CuDNN(at::Float32Op::CONV)) {
    at::globalContext().setAllowTF32CuDNN(false);
  }
  ~AllFloat32() { at::globalContext().setAllowTF32CuDNN(before_); }
  AllFloat32(const AllFloat32&) = delete;
  AllFloat32& operator=(const AllFloat32&) = delete;

 private:
  const nn::FullFloat32 products_;
  const bool before_;
};

}  // namespace pixart::score
