// The operations between matrix products with their gradients, against the LibTorch operations that they
// replace. A share of the copy rate, measured in the same run, says how far each is from the limit of memory.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <memory>

#include "benchmarks.h"
#include "layer_trial.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"
#include "rival.h"

namespace pixart::bench {

namespace {

constexpr double kNormEps = 1e-6;
// Tensors of the size of x that forward and backward have to read and write once each.
constexpr double kPassesOfNorm = 2 + 3, kPassesOfResidual = 3 + 3;

struct KernelArguments {
  int64_t hidden_size = 256, tokens = 256, batch_size = 4, rounds = 10, threads = 0;
  std::string device = "cpu";
  bool json = false;
};

nlohmann::ordered_json with_share(const Trial& trial, double passes, double bytes, double rate) {
  nlohmann::ordered_json result = race(trial);
  result["share_of_copy_rate"] =
      passes * bytes / (1e-3 * result["ms"]["pixart"]["median"].get<double>()) / rate;
  return result;
}

void bench_kernels(const KernelArguments& a) {
  const at::Device device = nn::select_device(a.device);
  nn::set_num_threads(a.threads);
  nn::keep_freed_memory();
  at::Generator generator = at::detail::createCPUGenerator(/*seed=*/1);
  const auto made = [&](int64_t rows) {
    return at::randn({a.batch_size, rows, a.hidden_size}, generator).to(device).set_requires_grad(true);
  };
  const at::Tensor x = made(a.tokens), branch = made(a.tokens), first = made(1), second = made(1);
  const double rate = copy_rate(x), bytes = double(x.nbytes());
  const Trial norm{.contestants = {{"pixart", [=] { return nn::modulated_norm(x, first, second); }},
                                   {"libtorch",
                                    [=] {
                                      return at::layer_norm(x, {x.size(2)}, {}, {}, kNormEps) * (1 + second) +
                                             first;
                                    }}},
                   .inputs = {x, first, second},
                   .rounds = a.rounds};
  const Trial residual{.contestants = {{"pixart", [=] { return nn::gated_residual(x, first, branch); }},
                                       {"libtorch", [=] { return x + first * branch; }}},
                       .inputs = {x, first, branch},
                       .rounds = a.rounds};
  nlohmann::ordered_json result = {{"benchmark", "kernels"},
                                   {"device", device.str()},
                                   {"hidden_size", a.hidden_size},
                                   {"tokens", a.tokens},
                                   {"batch_size", a.batch_size},
                                   {"threads", at::get_num_threads()},
                                   {"copy_gigabytes_per_second", rate / 1e9}};
  result["modulated_norm"] = with_share(norm, kPassesOfNorm, bytes, rate);
  result["gated_residual"] = with_share(residual, kPassesOfResidual, bytes, rate);
  if (a.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return;
  }
  for (const char* part : {"modulated_norm", "gated_residual"})
    std::printf("%s: %.3f ms, %.2f times as fast as LibTorch's, %.0f %% of the copy rate\n", part,
                result[part]["ms"]["pixart"]["median"].get<double>(),
                result[part]["speedup_over"]["libtorch"].get<double>(),
                100 * result[part]["share_of_copy_rate"].get<double>());
}

}  // namespace

void add_kernels(CLI::App& app) {
  auto arguments = std::make_shared<KernelArguments>();
  auto* command = app.add_subcommand(
      "kernels",
      "Modulated norm and gated residual with their gradients in float32, against LibTorch's "
      "operations and the copy rate.");
  const auto number = [&](const char* name, int64_t& value, const char* meaning, int64_t least = 1) {
    command->add_option(name, value, meaning)
        ->check(CLI::Range(least, int64_t(1) << 20))
        ->capture_default_str();
  };
  number("--hidden-size", arguments->hidden_size, "width");
  number("--tokens", arguments->tokens, "image tokens: 256 for 256 pixels");
  number("--batch-size", arguments->batch_size, "samples");
  number("--rounds", arguments->rounds, "measured passes of each");
  number("--threads", arguments->threads, "CPU threads; 0: the cores of this machine", 0);
  command->add_option("--device", arguments->device, "cpu, cuda or auto")->capture_default_str();
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->footer("Example:\n  pixart_bench kernels --hidden-size 1152 --batch-size 32 --device cuda --json");
  command->callback([arguments] { bench_kernels(*arguments); });
}

}  // namespace pixart::bench
