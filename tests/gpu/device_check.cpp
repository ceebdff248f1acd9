// The golden cases of both transformers on a device, in float32 and bfloat16, and sums over ranks through its
// communicator: what scripts/gpu_check.sh asks a GPU first. It runs on the CPU too, so that it stays true.
//   pixart_device_check DEVICE      prints one JSON object; 72 if a difference is too large
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_models.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/distributed/communicator.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"

namespace pixart {
namespace {

using nlohmann::ordered_json;

// Largest allowed |got - want| over the norm of want. float32 with other kernels than the recorded ones;
// bfloat16 rounds each product's inputs to eight bits.
constexpr double kMostFloat = 1e-4, kMostBfloat = 5e-2;

double distance(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor wanted = want.to(at::kDouble);
  return ((got.cpu().to(at::kDouble) - wanted).norm() / wanted.norm().clamp_min(1e-30)).item<double>();
}

class CaseCheck {
 public:
  CaseCheck(const testing::GoldenCase& c, at::Device device, std::optional<at::ScalarType> dtype)
      : case_(c), state_({.dtype = at::kFloat, .device = device}), device_(device) {
    execution_.dtype = dtype;
  }

  ordered_json run() {
    at::Tensor output;
    if (case_.kind == "dit") {
      const models::Dit model =
          models::Dit(nn::Scope(state_), testing::dit_config(case_.config())).with(execution_);
      prepare();
      output = model.forward(tensor("in.x"), tensor("in.t"), {.label = tensor("in.y")});
    } else {
      const models::PixArt model =
          models::PixArt(nn::Scope(state_), testing::pixart_config(case_.config())).with(execution_);
      prepare();
      output = model.forward(tensor("in.x"), tensor("in.t"), text());
    }
    torch::autograd::backward({(output * tensor("in.cotangent")).mean()}, {});
    return {{"case", case_.kind + "/" + case_.name},
            {"output", distance(output.detach(), case_.tensor("out.output"))},
            {"gradient", worst_gradient()}};
  }

 private:
  at::Tensor tensor(const char* name) const { return case_.tensor(name).to(device_); }

  void prepare() {
    nn::load_state(state_, case_.weights, case_.name);
    for (auto& parameter : state_.trainable()) parameter.set_requires_grad(true);
  }

  models::Condition text() const {
    models::Condition text{
        .caption = tensor("in.y"), .mask = {}, .drop = {}, .image_size = {}, .aspect_ratio = {}};
    if (case_.has("in.mask")) text.mask = tensor("in.mask");
    if (case_.has("in.force_drop_ids")) text.drop = tensor("in.force_drop_ids");
    if (case_.has("in.img_hw"))
      text.image_size = tensor("in.img_hw"), text.aspect_ratio = tensor("in.aspect_ratio");
    return text;
  }

  // Over all parameters together: single small gradients say nothing in bfloat16.
  double worst_gradient() const {
    std::vector<at::Tensor> got, want;
    for (const auto& parameter : state_.items()) {
      if (!case_.has("grad." + parameter.name)) continue;
      got.push_back(parameter.tensor.grad().cpu().reshape({-1}));
      want.push_back(case_.tensor("grad." + parameter.name).reshape({-1}));
    }
    return distance(at::cat(got), at::cat(want));
  }

  const testing::GoldenCase& case_;
  nn::StateDict state_;
  at::Device device_;
  models::Execution execution_;
};

bool check_goldens(at::Device device, ordered_json& report) {
  bool good = true;
  for (const auto& [name, dtype, most] :
       {std::tuple{"float32", std::optional<at::ScalarType>(), kMostFloat},
        std::tuple{"bfloat16", std::optional<at::ScalarType>(at::kBFloat16), kMostBfloat}}) {
    for (const char* kind : {"dit", "pixart"}) {
      for (const auto& c : testing::golden_cases(kind)) {
        auto result = CaseCheck(c, device, dtype).run();
        good = good && result["output"].get<double>() <= most && result["gradient"].get<double>() <= most;
        report["golden"][name].push_back(std::move(result));
      }
    }
  }
  return good;
}

// Captions of all lengths, packed, against the same captions padded, which is another kernel on a GPU. Rows
// of padding that are not 0 in backward would reach the first token.
bool check_packed_captions(at::Device device, ordered_json& report) {
  constexpr int64_t kBatch = 7, kTokens = 64, kLongest = 40, kHeads = 2, kHeadSize = 72;
  nn::StateDict state({.dtype = at::kFloat, .device = device});
  const nn::CrossAttention layer(nn::Scope(state), kHeads * kHeadSize, kHeads);
  at::Generator generator = at::detail::createCPUGenerator(/*seed=*/1);
  const auto made = [&](at::IntArrayRef shape) { return at::randn(shape, generator).to(device); };
  for (at::Tensor& weight : state.trainable())
    weight.copy_(0.1 * made(weight.sizes())).set_requires_grad(true);
  auto inputs = state.trainable();
  const at::Tensor x = made({kBatch, kTokens, kHeads * kHeadSize}).set_requires_grad(true),
                   text = made({kBatch, kLongest, kHeads * kHeadSize}).set_requires_grad(true),
                   pull = made({kBatch, kTokens, kHeads * kHeadSize}).to(at::kBFloat16),
                   lengths = at::tensor(std::vector<int64_t>{1, kLongest, 2, 17, 33, 5, 8}),
                   mask = at::arange(kLongest).unsqueeze(0).lt(lengths.unsqueeze(1));
  inputs.insert(inputs.end(), {x, text});
  const auto results = [&](int64_t head_size) {
    nn::PackedText packed =
        nn::pack_text_by(nn::text_layout(mask, kBatch, device), text.to(at::kBFloat16), head_size);
    nn::set_queries(packed, kTokens);
    const at::Tensor out = layer(x.to(at::kBFloat16), packed);
    auto tensors = torch::autograd::grad({out}, inputs, {pull});
    tensors.push_back(out.detach());
    return tensors;
  };
  const auto packed = results(kHeadSize), padded = results(0);
  bool good = true;
  double worst = 0;
  for (size_t i = 0; i < packed.size(); ++i) {
    const double differs = distance(packed[i], padded[i].cpu());
    good = good && differs <= kMostBfloat;  // not for NaN
    worst = std::max(differs, worst);
  }
  report["packed_captions"] = worst;
  return good;
}

// NCCL with one rank on a GPU: its start, a sum, a gathering.
bool check_communicator(at::Device device, ordered_json& report) {
  auto options = distributed::communicator_options_from_environment();
  options.even_alone = true;
  const auto alone = distributed::make_communicator({}, device, options);
  at::Tensor numbers = at::arange(1000, at::TensorOptions().dtype(at::kFloat).device(device));
  const at::Tensor want = numbers.clone();
  at::Tensor gathered = at::empty_like(numbers);
  alone->all_reduce_sum(numbers, "device check: sum");
  alone->all_gather(numbers, gathered, "device check: gathering");
  alone->broadcast(gathered, 0, "device check: broadcast");
  alone->barrier("device check: barrier");
  const bool good = at::equal(numbers, want) && at::equal(gathered, want);
  report["communicator"] = good ? "one rank: sums, gathers and broadcasts" : "WRONG NUMBERS";
  return good;
}

int run(const std::string& name) {
  const at::Device device = nn::select_device(name);
  at::globalContext().setAllowTF32CuBLAS(false);
  ordered_json report = {{"device", device.str()}};
  const bool golden = check_goldens(device, report), sums = check_communicator(device, report);
  const bool good = check_packed_captions(device, report) && golden && sums;
  report["good"] = good;
  std::printf("%s\n", report.dump(1).c_str());
  return good ? int(ExitCode::kDone) : int(ExitCode::kBelowBar);
}

}  // namespace
}  // namespace pixart

int main(int argc, char** argv) {
  try {
    return pixart::run(argc > 1 ? argv[1] : "auto");
  } catch (const pixart::UserError& error) {
    pixart::log::error("{}", error.what());
    return int(error.code());
  }
}
