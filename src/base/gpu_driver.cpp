#include "pixart/base/gpu_driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "pixart/base/env.h"

namespace pixart {

namespace {

struct Support {
  int cuda, oldest_driver;  // major versions
};
constexpr Support kSupport[] = {{13, 580}, {12, 525}, {11, 450}};

int major_of(int cuda) { return cuda / 1000; }

int oldest_driver_for(int cuda_major) {
  const auto* const found = std::find_if(std::begin(kSupport), std::end(kSupport),
                                         [&](const Support& support) { return support.cuda <= cuda_major; });
  return found == std::end(kSupport) ? 0 : found->oldest_driver;
}

}  // namespace

bool gpu_driver_present() {
  if (const auto file = environment_variable("PIXART_DRIVER_FILE")) return std::filesystem::exists(*file);
  return std::filesystem::exists("/dev/nvidiactl") || std::filesystem::exists("/dev/dxg");
}

std::optional<std::string> gpu_driver_version() {
  std::ifstream file(
      environment_variable("PIXART_DRIVER_VERSION_FILE").value_or("/proc/driver/nvidia/version"));
  static const std::regex pattern(R"(^NVRM version:.* (\d{3,}\.[\d.]+)( .*|$))");
  std::smatch match;
  for (std::string line; std::getline(file, line);)
    if (std::regex_match(line, match, pattern)) return match[1];
  return std::nullopt;
}

std::string cuda_name(int version) { return fmt::format("{}.{}", major_of(version), version % 1000 / 10); }

int newest_cuda_of_driver(const std::string& driver) {
  const int version = std::atoi(driver.c_str());
  for (const Support& support : kSupport)
    if (version >= support.oldest_driver) return support.cuda;
  return 0;
}

std::string gpu_driver_problem(int cuda) {
  const auto driver = gpu_driver_version();
  if (!driver || newest_cuda_of_driver(*driver) >= std::min(major_of(cuda), kSupport[0].cuda)) return "";
  std::string text =
      fmt::format("the driver {} is too old for a LibTorch for CUDA {}, which needs {} or newer", *driver,
                  cuda_name(cuda), oldest_driver_for(major_of(cuda)));
  if (newest_cuda_of_driver(*driver) == 12)
    text += "; update it, or use a LibTorch for CUDA 12 (PIXART_TORCH_INDEX in scripts/setup.sh --help)";
  return text;
}

}  // namespace pixart
