#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <cstdio>
#include <filesystem>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/nn/device.h"

namespace pixart::tools {

namespace {

void line(const char* what, const std::string& value) { std::printf("%-18s %s\n", what, value.c_str()); }

std::string gpu_state() {
#ifdef PIXART_WITH_CUDA
  const std::string kernels = "kernels compiled for sm_80 and sm_90";
#else
  const std::string kernels =
      "built without CUDA kernels (no nvcc was found; install the CUDA toolkit and run scripts/build.sh "
      "again)";
#endif
  try {
    nn::select_device("cuda");
    return "usable; " + kernels;
  } catch (const UserError& error) {
    return std::string(error.what()) + " (" + kernels + ")";
  }
}

std::string data_state(const char* folder, const char* package) {
  return std::filesystem::exists(folder)
             ? std::string(folder)
             : std::string("not installed; for that demo: apt-get install ") + package;
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto* command =
      app.add_subcommand("doctor", "What this machine has, what is missing, and the command that mends it.");
  command->footer("Example:\n  pixart doctor");
  command->callback([] {
    line("pixart", version());
    line("LibTorch", TORCH_VERSION);
    line("CPU", fmt::format("{} cores usable, kernels {}", physical_cores(), at::get_cpu_capability()));
    line("GPU", gpu_state());
    const auto space = std::filesystem::space(".");
    line("disk here", human_bytes(space.available) + " free");
    line("stamps", data_state("/usr/share/tuxpaint/stamps", "tuxpaint-stamps-default"));
    line("Fashion-MNIST", data_state("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist"));
    line("precision", "fp32; bf16 on a CPU without AMX is about three times slower than fp32");
  });
}

}  // namespace pixart::tools
