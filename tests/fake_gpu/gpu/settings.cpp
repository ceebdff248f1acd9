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

Settings read_settings() {
  Settings result;
  result.devices = int(number_of("PIXART_FAKE_GPU_DEVICES", result.devices));
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
