#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/plan/plan.h"

namespace pixart::plan {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double number(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : 0;
}

// Peak of one device of the run, 0 if unknown.
double peak_of(const std::string& device, const Gpu& planned, run::Precision precision) {
  if (const Gpu* known = recognize_gpu(device); known != nullptr && !known->is_cpu)
    return known->peak(precision);
  const bool is_cpu = device.find("cpu") != std::string::npos || device.find("CPU") != std::string::npos;
  return is_cpu && planned.is_cpu ? planned.peak(precision) : 0;
}

}  // namespace

std::map<std::string, double> measured_mfu(const fs::path& run_folder, const Gpu& planned,
                                           run::Precision precision) {
  const fs::path file = run_folder / "telemetry.jsonl";
  require_no_pipe(file);
  std::ifstream stream(file);
  if (!stream)
    throw UserError(fmt::format("cannot open {}: --calibrate needs the folder of a run that was trained.",
                                file.string()));
  std::map<std::string, std::vector<double>> shares;
  double peak = 0, devices = 1;
  std::string device = "its device, which has no name";
  for (std::string text; std::getline(stream, text);) {
    const json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) continue;  // the last line of a killed run may be incomplete
    const auto kind = line.value("kind", json());
    if (kind == "start") {
      if (line.contains("device") && line["device"].is_string()) device = line["device"].get<std::string>();
      devices = std::max(1.0, number(line, "devices"));
      peak = peak_of(device, planned, precision);
    }
    if (kind != "interval" || !line.contains("stage") || !line["stage"].is_string()) continue;
    double share = number(line, "mfu");
    if (share <= 0 && peak > 0) share = number(line, "flops_per_second") / devices / peak;
    if (share <= 0) continue;
    shares[line["stage"].get<std::string>()].push_back(share);
    shares[""].push_back(share);
  }
  if (shares.empty())
    throw UserError(fmt::format(
        "{} has no interval with an MFU, and the peak rate of {} is not known. Give --images-per-second or "
        "--mfu.",
        file.string(), device));
  std::map<std::string, double> result;
  for (auto& [stage, values] : shares) result[stage] = median(std::move(values));
  return result;
}

}  // namespace pixart::plan
