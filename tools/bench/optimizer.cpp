// One optimizer step with clipping and EMA: pixart's single pass over flat buffers against separate LibTorch
// calls, as an eager PyTorch trainer makes them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/optim/optimizer.h"

namespace pixart::bench {

namespace {

constexpr double kLr = 2e-5, kEmaDecay = 0.9999, kMaxNorm = 0.01;
constexpr int64_t kWidth = 1152;  // of the XL models

struct OptimizerArguments {
  int64_t parameters = 100'000'000;
  int rounds = 5, threads = 0;
  bool json = false;
};

// Tensors with a transformer's shapes, block after block, `count` elements in total.
std::vector<at::Tensor> transformer_tensors(int64_t count) {
  const std::vector<std::vector<int64_t>> block = {
      {3 * kWidth, kWidth}, {3 * kWidth}, {kWidth, kWidth},     {kWidth},
      {4 * kWidth, kWidth}, {4 * kWidth}, {kWidth, 4 * kWidth}, {kWidth}};
  std::vector<at::Tensor> tensors;
  for (size_t i = 0; count > 0; ++i) {
    const auto& shape = block[i % block.size()];
    at::Tensor tensor = c10::multiply_integers(shape) <= count ? at::empty(shape) : at::empty({count});
    count -= tensor.numel();
    tensors.push_back(tensor.uniform_(-0.05, 0.05));
  }
  return tensors;
}

std::vector<at::Tensor> like(const std::vector<at::Tensor>& tensors, bool copy) {
  std::vector<at::Tensor> result;
  for (const auto& tensor : tensors) result.push_back(copy ? tensor.clone() : at::zeros_like(tensor));
  return result;
}

// The rivals' state: separate tensors.
struct Separate {
  std::vector<at::Tensor> values, gradients, exp_avg, exp_avg_sq, ema, steps;
  int64_t num_steps = 0;

  Separate(const std::vector<at::Tensor>& start, const std::vector<at::Tensor>& given)
      : values(like(start, true)),
        gradients(like(given, true)),
        exp_avg(like(start, false)),
        exp_avg_sq(like(start, false)),
        ema(like(start, true)),
        steps(start.size()) {
    for (auto& step : steps) step = at::zeros({});
  }

  void clip() {  // torch.nn.utils.clip_grad_norm_
    const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)), 2);
    at::_foreach_mul_(gradients, (kMaxNorm / (norm + 1e-6)).clamp_max(1.0));
  }
  void average() {
    for (size_t i = 0; i < ema.size(); ++i) ema[i].mul_(kEmaDecay).add_(values[i], 1 - kEmaDecay);
  }

  // torch.optim.AdamW on the CPU (its form without foreach), then the EMA of the released code.
  void step_eager() {
    const optim::AdamWConfig config;
    const double beta1 = config.betas[0], beta2 = config.betas[1];
    clip();
    ++num_steps;
    const double correction1 = 1 - std::pow(beta1, num_steps), correction2 = 1 - std::pow(beta2, num_steps);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i].mul_(1 - kLr * config.weight_decay);
      exp_avg[i].lerp_(gradients[i], 1 - beta1);
      exp_avg_sq[i].mul_(beta2).addcmul_(gradients[i], gradients[i], 1 - beta2);
      const at::Tensor root = (exp_avg_sq[i].sqrt() / std::sqrt(correction2)).add_(config.eps);
      values[i].addcdiv_(exp_avg[i], root, -kLr / correction1);
    }
    average();
  }

  // torch.optim.AdamW(fused=True): one call for moments and values; clipping and EMA are separate.
  void step_fused() {
    const optim::AdamWConfig config;
    clip();
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(values, gradients, exp_avg, exp_avg_sq, {}, steps, kLr, config.betas[0],
                      config.betas[1], config.weight_decay, config.eps, /*amsgrad=*/false,
                      /*maximize=*/false);
    average();
  }
};

struct OnePass {
  std::vector<at::Tensor> parameters;
  optim::FlatParameters flat;
  optim::Optimizer optimizer;
  at::Tensor ema;

  OnePass(const std::vector<at::Tensor>& start, const std::vector<at::Tensor>& gradients,
          const std::string& name)
      : parameters(like(start, true)),
        flat(leaves(parameters)),
        optimizer(config(name), flat),
        ema(flat.values().clone()) {
    const auto views = flat.views(flat.gradients());
    for (size_t i = 0; i < views.size(); ++i) views[i].copy_(gradients[i]);
  }
  static std::vector<at::Tensor> leaves(std::vector<at::Tensor> tensors) {
    for (auto& tensor : tensors) tensor.set_requires_grad(true);
    return tensors;
  }
  static optim::OptimizerConfig config(const std::string& name) {
    optim::OptimizerConfig result;
    result.name = enum_of_word<optim::OptimizerName>(name, "optimizer");
    return result;
  }
  void step() {
    const double norm = optim::gradient_norm(flat.gradients());
    optimizer.step(flat, kLr, optim::clip_factor(norm, kMaxNorm), ema, kEmaDecay);
  }
};

nlohmann::ordered_json summary(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {{"median", 1e3 * seconds[seconds.size() / 2]},
          {"min", 1e3 * seconds.front()},
          {"max", 1e3 * seconds.back()}};
}

double largest_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, (a[i].detach() - b[i]).abs().max().item<double>());
  return largest;
}

// Runs rounds in turn, so that a busy machine slows all equally. The first round, which touches fresh memory,
// does not count.
nlohmann::ordered_json measure(const OptimizerArguments& arguments) {
  const at::NoGradGuard no_grad;
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  at::manual_seed(1);
  const auto start = transformer_tensors(arguments.parameters),
             gradients = transformer_tensors(arguments.parameters);
  OnePass ours(start, gradients, "adamw"), came(start, gradients, "came");
  Separate eager(start, gradients), fused(start, gradients);
  const std::vector<std::pair<std::string, std::function<void()>>> contestants = {
      {"one_pass", [&] { ours.step(); }},
      {"separate", [&] { eager.step_eager(); }},
      {"torch_fused", [&] { fused.step_fused(); }},
      {"came", [&] { came.step(); }}};
  std::map<std::string, std::vector<double>> seconds;
  for (int round = 0; round <= arguments.rounds; ++round) {
    for (const auto& [name, step] : contestants) {
      // The rivals clip their gradients in place.
      for (size_t i = 0; i < gradients.size(); ++i)
        eager.gradients[i].copy_(gradients[i]), fused.gradients[i].copy_(gradients[i]);
      const double begin = monotonic_seconds();
      step();
      if (round > 0) seconds[name].push_back(monotonic_seconds() - begin);
    }
  }
  nlohmann::ordered_json result = {{"benchmark", "optimizer"},
                                   {"parameters", arguments.parameters},
                                   {"tensors", start.size()},
                                   {"rounds", arguments.rounds},
                                   {"threads", at::get_num_threads()}};
  for (const auto& [name, step] : contestants) result["ms"][name] = summary(seconds.at(name));
  const double median = result["ms"]["one_pass"]["median"];
  for (const char* rival : {"separate", "torch_fused"})
    result["speedup_over"][rival] = double(result["ms"][rival]["median"]) / median;
  // A step reads the gradients twice and four buffers, and writes four buffers.
  constexpr double kBytesPerParameter = (2 + 4 + 4) * sizeof(float);
  result["gigabytes_per_second"] = kBytesPerParameter * double(arguments.parameters) / (1e6 * median);
  result["largest_difference"] = {{"separate", largest_difference(ours.parameters, eager.values)},
                                  {"torch_fused", largest_difference(ours.parameters, fused.values)}};
  return result;
}

void bench_optimizer(const OptimizerArguments& arguments) {
  const auto result = measure(arguments);
  if (arguments.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return;
  }
  for (const auto& [name, times] : result["ms"].items())
    std::printf("%-12s %8.1f ms (%.1f to %.1f)\n", name.c_str(), double(times["median"]),
                double(times["min"]), double(times["max"]));
  std::printf("one pass is %.2f times as fast as separate calls and moves %.1f GB/s\n",
              double(result["speedup_over"]["separate"]), double(result["gigabytes_per_second"]));
}

}  // namespace

void add_optimizer(CLI::App& app) {
  auto arguments = std::make_shared<OptimizerArguments>();
  auto* command = app.add_subcommand("optimizer",
                                     "Gradient norm, clipping, AdamW and EMA on the CPU in one pass, "
                                     "against separate LibTorch calls.");
  command
      ->add_option("--parameters", arguments->parameters,
                   "number of parameters; each takes 110 bytes of memory")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 33))
      ->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--threads", arguments->threads, "CPU threads; 0: LibTorch's choice")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "Print one JSON object.");
  command->footer("Example:\n  pixart_bench optimizer --parameters 100000000 --rounds 10 --json");
  command->callback([arguments] { bench_optimizer(*arguments); });
}

}  // namespace pixart::bench
