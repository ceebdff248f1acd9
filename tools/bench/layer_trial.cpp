#include "layer_trial.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/nn/device.h"
#include "rival.h"

namespace pixart::bench {

namespace {

constexpr int kWarmUps = 2;

std::vector<at::Tensor> results_of(const Contestant& contestant, const std::vector<at::Tensor>& inputs) {
  const at::Tensor out = contestant.forward();
  auto results = torch::autograd::grad({out}, inputs, {at::ones_like(out)}, /*retain_graph=*/false,
                                       /*create_graph=*/false,
                                       /*allow_unused=*/true);
  results.push_back(out.detach());
  return results;
}

double relative_difference(const std::vector<at::Tensor>& ours, const std::vector<at::Tensor>& theirs) {
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (!ours[i].defined() || !theirs[i].defined()) continue;
    const at::Tensor a = ours[i].to(at::kFloat), b = theirs[i].to(at::kFloat);
    largest =
        std::max(largest, (a - b).abs().max().item<double>() / std::max(1e-30, b.abs().max().item<double>()));
  }
  return largest;
}

}  // namespace

nlohmann::ordered_json race(const Trial& trial) {
  std::map<std::string, std::vector<double>> ms;
  std::map<std::string, double> differences;
  const at::Device device = trial.inputs.front().device();
  for (int64_t round = -kWarmUps; round < trial.rounds; ++round) {
    std::vector<at::Tensor> ours;
    for (const auto& contestant : trial.contestants) {
      nn::wait_for(device);
      const double begin = monotonic_seconds();
      const auto results = results_of(contestant, trial.inputs);
      nn::wait_for(device);
      if (round >= 0) ms[contestant.name].push_back(1e3 * (monotonic_seconds() - begin));
      if (ours.empty()) ours = results;
      if (round == -1) differences[contestant.name] = relative_difference(ours, results);
    }
  }
  nlohmann::ordered_json result;
  const std::string& first = trial.contestants.front().name;
  for (const auto& [name, forward] : trial.contestants) result["ms"][name] = spread(ms.at(name));
  for (const auto& [name, forward] : trial.contestants) {
    if (name == first) continue;
    result["speedup_over"][name] = median(ms.at(name)) / median(ms.at(first));
    result["largest_difference"][name] = differences.at(name);
  }
  return result;
}

double copy_rate(const at::Tensor& tensor) {
  const at::Tensor from = tensor.detach().contiguous(), to = at::empty_like(from);
  std::vector<double> seconds;
  for (int round = -kWarmUps; round < 5; ++round) {
    nn::wait_for(from.device());
    const double begin = monotonic_seconds();
    to.copy_(from);
    nn::wait_for(from.device());
    if (round >= 0) seconds.push_back(monotonic_seconds() - begin);
  }
  return 2.0 * double(from.nbytes()) / median(seconds);
}

}  // namespace pixart::bench
