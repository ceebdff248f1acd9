// The network of FID: Inception v3 with the weights of 2015-12-05, as pytorch-fid patches torchvision's. Its
// average pools leave out the padding, its last block has a max pool, and it has 1008 classes.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/nn/state_dict.h"

namespace pixart::score {

inline constexpr int kInceptionSide = 299;      // height and width of the input
inline constexpr int64_t kFeatures = 2048;      // channels of the last average pool
inline constexpr int64_t kSpatialChannels = 7;  // of Mixed_6d's 1x1 branch, which sFID uses
inline constexpr int64_t kSpatialFeatures = kSpatialChannels * 17 * 17;
inline constexpr int64_t kClasses = 1008;

// Results for a batch of B images, float32.
struct InceptionOutputs {
  at::Tensor features;  // [B, 2048]
  at::Tensor spatial;   // [B, 2023], row, column, channel: the order of ADM's statistics
  at::Tensor logits;    // [B, 1008], without the bias, as all programs that compute the inception score
};

struct InceptionLayers;

class Inception {
 public:
  // Takes the tensors of published files: <layer>.conv.weight, <layer>.bn.*, fc.*. Throws one UserError about
  // `subject` that lists all that do not fit.
  Inception(const std::map<std::string, at::Tensor>& tensors, const std::string& subject,
            c10::Device device = at::kCPU);
  // images [B, 3, 299, 299] float32, about -1 to 1, on any device
  InceptionOutputs operator()(const at::Tensor& images) const;

 private:
  std::shared_ptr<const InceptionLayers> layers_;
};

struct OpenedInception {
  Inception network;
  std::string file_sha256;     // of the file
  std::string tensors_sha256;  // of names and values: the same for a .pth and a .safetensors file
  bool is_published = false;   // the file is the one of pytorch-fid and torch-fidelity
};

// Opens published weights in any container. Throws UserError that says what to do for torchvision's own weights,
// and if the file's name holds another hash than its content has.
OpenedInception open_inception(const std::filesystem::path& file, c10::Device device);

// Throws what open_inception() throws for this file, except for values. Makes no network.
void check_inception(const std::filesystem::path& file);

// Names and shapes of the tensors of a published file, without num_batches_tracked.
std::map<std::string, std::vector<int64_t>> inception_shapes();

}  // namespace pixart::score
