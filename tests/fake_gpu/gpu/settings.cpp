#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace fake_gpu {

namespace {

[[noreturn]] void refuse(const char* variable, const std::string& value) {
  std::fprintf(stderr, "fake GPU: %s=%s is not understood\n", variable, value.c_str());
  std::_Exit(64);
}

int64_t parse(const char* variable, const std::string& value) {
  char* end = nullptr;
  const int64_t number = std::strtoll(value.c_str(), &end, 10);
  if (value.empty() || *end != '\0') refuse(variable, value);
  return number;
}

// The GPU of the machine that an entry of CUDA_VISIBLE_DEVICES names: by number, by the begin of its UUID, or
// by that of its only MIG instance; -1 if none.
int machine_gpu_named(const std::string& entry, int count) {
  if (entry.empty()) return -1;
  for (int gpu = 0; gpu < count; ++gpu) {
    const std::string number = std::to_string(gpu), uuid = std::string(8 - number.size(), '0') + number;
    const auto begins = [&](const std::string& name) {
      return entry.size() > 4 && name.rfind(entry, 0) == 0;
    };
    if (entry == number || begins("GPU-" + uuid) || begins("MIG-" + uuid)) return gpu;
  }
  return -1;
}

// As CUDA does: an entry that names none hides those after it, and only one MIG instance is seen.
std::vector<int> visible_gpus(int count) {
  std::vector<int> result;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr)
    for (int gpu = 0; gpu < count; ++gpu) result.push_back(gpu);
  std::istringstream entries(visible == nullptr ? "" : visible);
  for (std::string entry; std::getline(entries, entry, ',');) {
    const int gpu = machine_gpu_named(entry, count);
    if (gpu < 0) break;
    result.push_back(gpu);
    if (entry.rfind("MIG-", 0) == 0) break;
  }
  return result;
}

Settings read_settings() {
  Settings result;
  result.machine_gpus = visible_gpus(int(number_of("PIXART_FAKE_GPU_DEVICES", result.devices)));
  result.devices = int(result.machine_gpus.size());
  result.cuda = int(number_of("PIXART_FAKE_GPU_CUDA", result.cuda));
  result.bytes = size_t(number_of("PIXART_FAKE_GPU_BYTES", int64_t(result.bytes)));
  result.races = number_of("PIXART_FAKE_GPU_RACES", 1) != 0;
  const char* report = std::getenv("PIXART_FAKE_GPU_REPORT");
  if (report != nullptr) result.report = report;
  auto fault = pairs_of("PIXART_FAKE_GPU_FAULT");
  const bool here = fault.count("rank") == 0 || fault["rank"] == std::to_string(rank_of_process());
  if (!fault.empty() && here) result.fault_at_launch = parse("PIXART_FAKE_GPU_FAULT", fault["launch"]);
  return result;
}

}  // namespace

const Settings& settings() {
  static const auto* result = new Settings(read_settings());  // used until the process ends
  return *result;
}

std::map<std::string, std::string> pairs_of(const char* variable) {
  std::map<std::string, std::string> result;
  const char* text = std::getenv(variable);
  if (text == nullptr) return result;
  std::istringstream stream(text);
  for (std::string pair; std::getline(stream, pair, ',');) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos) refuse(variable, text);
    result[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return result;
}

int64_t number_of(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : parse(variable, text);
}

int rank_of_process() { return int(number_of("RANK", 0)); }

}  // namespace fake_gpu
