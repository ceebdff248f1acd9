#include "inception.h"

#include <ATen/ATen.h>

#include <array>
#include <utility>

#include "batch_norm.h"
#include "pixart/base/error.h"
#include "pixart/nn/device.h"

namespace pixart::score {

namespace {

constexpr double kInceptionEps = 0.001;

struct Kernel {
  int64_t height = 1, width = 1, stride = 1, pad_y = 0, pad_x = 0;
};

Kernel square(int64_t side, int64_t stride = 1, int64_t padding = 0) {
  return {.height = side, .width = side, .stride = stride, .pad_y = padding, .pad_x = padding};
}
Kernel row(int64_t length) { return {.width = length, .pad_x = length / 2}; }      // 1 x length, same size
Kernel column(int64_t length) { return {.height = length, .pad_y = length / 2}; }  // length x 1

// Convolution without bias, batch norm with stored statistics, ReLU.
struct InceptionConv {
  at::Tensor weight;  // as stored
  BatchNorm norm;
  FoldedConv conv;  // set by fold()
  Kernel kernel;

  InceptionConv(const nn::Scope& scope, int64_t in, int64_t out, const Kernel& own)
      : weight((scope / "conv").parameter("weight", {out, in, own.height, own.width})),
        norm(scope / "bn", out),
        kernel(own) {}

  void fold(c10::Device device) { conv = folded(weight, norm, kInceptionEps, device); }
  at::Tensor operator()(const at::Tensor& x) const {
    return at::conv2d(x, conv.weight, conv.bias, {kernel.stride, kernel.stride}, {kernel.pad_y, kernel.pad_x})
        .relu_();
  }
};

// Layers one after the other: names of their scopes, channels and kernels.
struct Step {
  const char* name;
  int64_t out;
  Kernel kernel;
};
using Chain = std::vector<InceptionConv>;

Chain make_chain(const nn::Scope& scope, int64_t in, const std::vector<Step>& steps) {
  Chain chain;
  for (const auto& [name, out, kernel] : steps) {
    chain.emplace_back(scope / name, in, out, kernel);
    in = out;
  }
  return chain;
}

at::Tensor run(const Chain& chain, at::Tensor x) {
  for (const auto& layer : chain) x = layer(x);
  return x;
}

// The pool of a block, in front of its last branch.
enum class Pool { kAverage, kMax, kMaxAlone };

at::Tensor pooled(Pool pool, const at::Tensor& x) {
  if (pool == Pool::kAverage)
    return at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false, /*count_include_pad=*/false);
  if (pool == Pool::kMax) return at::max_pool2d(x, {3, 3}, {1, 1}, {1, 1});
  return at::max_pool2d(x, {3, 3}, {2, 2});
}

// A block: the outputs of all branches, then of the pool's branch, one after the other in the channels.
struct InceptionBlock {
  struct Branch {
    Chain chain;
    Chain ends;  // layers that all take the chain's output; empty: the output itself
  };
  std::vector<Branch> branches;
  Pool pool = Pool::kAverage;
  Chain pool_branch;  // kMaxAlone has none

  std::vector<InceptionConv*> layers() {
    std::vector<InceptionConv*> all;
    const auto add = [&](Chain& chain) {
      for (auto& layer : chain) all.push_back(&layer);
    };
    for (auto& branch : branches) add(branch.chain), add(branch.ends);
    add(pool_branch);
    return all;
  }
  at::Tensor operator()(const at::Tensor& x) const {
    std::vector<at::Tensor> outputs;
    for (const auto& [chain, ends] : branches) {
      const at::Tensor y = run(chain, x);
      if (ends.empty()) outputs.push_back(y);
      for (const auto& end : ends) outputs.push_back(end(y));
    }
    outputs.push_back(run(pool_branch, pooled(pool, x)));
    return at::cat(outputs, 1);
  }
};

InceptionBlock block_a(const nn::Scope& scope, int64_t in, int64_t pool_features) {
  InceptionBlock block;
  block.branches.push_back({make_chain(scope, in, {{"branch1x1", 64, square(1)}}), {}});
  block.branches.push_back(
      {make_chain(scope, in, {{"branch5x5_1", 48, square(1)}, {"branch5x5_2", 64, square(5, 1, 2)}}), {}});
  block.branches.push_back({make_chain(scope, in,
                                       {{"branch3x3dbl_1", 64, square(1)},
                                        {"branch3x3dbl_2", 96, square(3, 1, 1)},
                                        {"branch3x3dbl_3", 96, square(3, 1, 1)}}),
                            {}});
  block.pool_branch = make_chain(scope, in, {{"branch_pool", pool_features, square(1)}});
  return block;
}

InceptionBlock block_b(const nn::Scope& scope, int64_t in) {
  InceptionBlock block;
  block.branches.push_back({make_chain(scope, in, {{"branch3x3", 384, square(3, 2)}}), {}});
  block.branches.push_back({make_chain(scope, in,
                                       {{"branch3x3dbl_1", 64, square(1)},
                                        {"branch3x3dbl_2", 96, square(3, 1, 1)},
                                        {"branch3x3dbl_3", 96, square(3, 2)}}),
                            {}});
  block.pool = Pool::kMaxAlone;
  return block;
}

InceptionBlock block_c(const nn::Scope& scope, int64_t in, int64_t inner) {
  InceptionBlock block;
  block.branches.push_back({make_chain(scope, in, {{"branch1x1", 192, square(1)}}), {}});
  block.branches.push_back({make_chain(scope, in,
                                       {{"branch7x7_1", inner, square(1)},
                                        {"branch7x7_2", inner, row(7)},
                                        {"branch7x7_3", 192, column(7)}}),
                            {}});
  block.branches.push_back({make_chain(scope, in,
                                       {{"branch7x7dbl_1", inner, square(1)},
                                        {"branch7x7dbl_2", inner, column(7)},
                                        {"branch7x7dbl_3", inner, row(7)},
                                        {"branch7x7dbl_4", inner, column(7)},
                                        {"branch7x7dbl_5", 192, row(7)}}),
                            {}});
  block.pool_branch = make_chain(scope, in, {{"branch_pool", 192, square(1)}});
  return block;
}

InceptionBlock block_d(const nn::Scope& scope, int64_t in) {
  InceptionBlock block;
  block.branches.push_back(
      {make_chain(scope, in, {{"branch3x3_1", 192, square(1)}, {"branch3x3_2", 320, square(3, 2)}}), {}});
  block.branches.push_back({make_chain(scope, in,
                                       {{"branch7x7x3_1", 192, square(1)},
                                        {"branch7x7x3_2", 192, row(7)},
                                        {"branch7x7x3_3", 192, column(7)},
                                        {"branch7x7x3_4", 192, square(3, 2)}}),
                            {}});
  block.pool = Pool::kMaxAlone;
  return block;
}

// Two layers that take the same input.
Chain fork(const nn::Scope& scope, const char* first, const char* second) {
  Chain ends;
  ends.emplace_back(scope / first, 384, 384, row(3));
  ends.emplace_back(scope / second, 384, 384, column(3));
  return ends;
}

InceptionBlock block_e(const nn::Scope& scope, int64_t in, Pool pool) {
  InceptionBlock block;
  block.branches.push_back({make_chain(scope, in, {{"branch1x1", 320, square(1)}}), {}});
  block.branches.push_back({make_chain(scope, in, {{"branch3x3_1", 384, square(1)}}),
                            fork(scope, "branch3x3_2a", "branch3x3_2b")});
  block.branches.push_back(
      {make_chain(scope, in, {{"branch3x3dbl_1", 448, square(1)}, {"branch3x3dbl_2", 384, square(3, 1, 1)}}),
       fork(scope, "branch3x3dbl_3a", "branch3x3dbl_3b")});
  block.pool = pool;
  block.pool_branch = make_chain(scope, in, {{"branch_pool", 192, square(1)}});
  return block;
}

}  // namespace

struct InceptionLayers {
  nn::StateDict state;
  Chain stem_1, stem_2;  // each before a max pool
  std::vector<InceptionBlock> mixed;
  at::Tensor classes, class_bias;  // [1008, 2048], [1008]; the bias is read and not used
  c10::Device device = at::kCPU;

  InceptionLayers() {
    const nn::Scope root(state);
    stem_1 = make_chain(root, 3,
                        {{"Conv2d_1a_3x3", 32, square(3, 2)},
                         {"Conv2d_2a_3x3", 32, square(3)},
                         {"Conv2d_2b_3x3", 64, square(3, 1, 1)}});
    stem_2 = make_chain(root, 64, {{"Conv2d_3b_1x1", 80, square(1)}, {"Conv2d_4a_3x3", 192, square(3)}});
    mixed.push_back(block_a(root / "Mixed_5b", 192, 32));
    mixed.push_back(block_a(root / "Mixed_5c", 256, 64));
    mixed.push_back(block_a(root / "Mixed_5d", 288, 64));
    mixed.push_back(block_b(root / "Mixed_6a", 288));
    mixed.push_back(block_c(root / "Mixed_6b", 768, 128));
    mixed.push_back(block_c(root / "Mixed_6c", 768, 160));
    mixed.push_back(block_c(root / "Mixed_6d", 768, 160));
    mixed.push_back(block_c(root / "Mixed_6e", 768, 192));
    mixed.push_back(block_d(root / "Mixed_7a", 768));
    mixed.push_back(block_e(root / "Mixed_7b", 1280, Pool::kAverage));
    mixed.push_back(block_e(root / "Mixed_7c", 2048, Pool::kMax));
    classes = (root / "fc").parameter("weight", {kClasses, kFeatures});
    class_bias = (root / "fc").parameter("bias", {kClasses});
  }

  static constexpr size_t kMixed6d = 6;  // whose first branch gives the spatial features

  void fold(c10::Device to) {
    device = to;
    std::vector<InceptionConv*> all;
    for (auto* chain : {&stem_1, &stem_2})
      for (auto& layer : *chain) all.push_back(&layer);
    for (auto& block : mixed)
      for (auto* layer : block.layers()) all.push_back(layer);
    for (auto* layer : all) layer->fold(device);
    classes = classes.to(device);
  }
};

Inception::Inception(const std::map<std::string, at::Tensor>& tensors, const std::string& subject,
                     c10::Device device) {
  const at::NoGradGuard no_grad;
  auto layers = std::make_shared<InceptionLayers>();
  nn::load_state(layers->state, tensors, subject);
  layers->fold(device);
  layers_ = std::move(layers);
}

InceptionOutputs Inception::operator()(const at::Tensor& images) const {
  PIXART_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == kInceptionSide &&
               images.size(3) == kInceptionSide);
  const at::NoGradGuard no_grad;
  const auto& layers = *layers_;
  at::Tensor x = nn::on_device(images, layers.device).contiguous(at::MemoryFormat::ChannelsLast);
  x = pooled(Pool::kMaxAlone, run(layers.stem_1, x));
  x = pooled(Pool::kMaxAlone, run(layers.stem_2, x));
  InceptionOutputs outputs;
  for (size_t i = 0; i < layers.mixed.size(); ++i) {
    if (i == InceptionLayers::kMixed6d)
      outputs.spatial = run(layers.mixed[i].branches.front().chain, x)
                            .narrow(1, 0, kSpatialChannels)
                            .permute({0, 2, 3, 1})
                            .reshape({x.size(0), kSpatialFeatures});
    x = layers.mixed[i](x);
  }
  outputs.features = x.mean({2, 3});
  outputs.logits = at::matmul(outputs.features, layers.classes.t());
  return outputs;
}

std::map<std::string, std::vector<int64_t>> inception_shapes() {
  std::map<std::string, std::vector<int64_t>> shapes;
  const InceptionLayers layers;
  for (const auto& item : layers.state.items()) shapes[item.name] = item.tensor.sizes().vec();
  return shapes;
}

}  // namespace pixart::score
