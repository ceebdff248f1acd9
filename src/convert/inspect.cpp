#include "pixart/convert/inspect.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/convert/provenance.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

WeightReport report_of(const fs::path& path, const std::string& which = "model") {
  WeightReport report{.opened = open_and_identify(path, which)};
  for (const auto& [name, info] : report.opened.weights.tensors) {
    report.numbers += info.numel();
    report.dtypes[formats::dtype_text(info.dtype)] += info.numel();
  }
  report.license = license_of(report.opened.weights, report.opened.identity.layout);
  return report;
}

// Files of a checkpoint in the order in which people look for them; files of other folders by name.
std::vector<fs::path> weight_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    const bool is_adapter = name == "adapter_model.bin" || name == "pytorch_lora_weights.bin";
    const auto ending = entry.path().extension();
    if (ending == ".safetensors" || ending == ".pth" || is_adapter) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool holds_usual_weights(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    for (const char* stem : {"model", "pytorch_model", "diffusion_pytorch_model"})
      if (name.starts_with(std::string(stem) + ".") && name != "model_index.json") return true;
  }
  return false;
}

// A training file that has only an EMA is reported, too.
WeightReport report_of_any_set(const fs::path& path) {
  try {
    return report_of(path);
  } catch (const UserError& error) {
    try {
      return report_of(path, "ema");
    } catch (const UserError&) {
    }
    throw;
  }
}

}  // namespace

std::vector<WeightReport> inspect(const fs::path& path) {
  if (!fs::exists(path)) throw UserError(path.string() + " does not exist.");
  if (!fs::is_directory(path)) return {report_of_any_set(path)};
  std::vector<WeightReport> reports;
  if (fs::exists(path / "manifest.json")) {
    for (const auto& file : weight_files(path)) reports.push_back(report_of(file));
    return reports;
  }
  if (holds_usual_weights(path)) return {report_of(path)};
  std::vector<fs::path> parts;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_directory() && holds_usual_weights(entry.path())) parts.push_back(entry.path());
  std::sort(parts.begin(), parts.end());
  for (const auto& part : parts) reports.push_back(report_of(part));
  if (reports.empty())
    for (const auto& file : weight_files(path)) reports.push_back(report_of(file));
  if (reports.empty()) {  // adapters with names
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_directory()) parts.push_back(entry.path());
    std::sort(parts.begin(), parts.end());
    for (const auto& part : parts)
      for (const auto& file : weight_files(part)) reports.push_back(report_of(file));
  }
  if (reports.empty()) throw UserError(path.string() + " has no weights and no folders with weights.");
  return reports;
}

namespace {

int64_t count_not_finite(const at::Tensor& tensor) {
  const at::Tensor values = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
  return at::isfinite(values).logical_not().sum().item<int64_t>();
}

}  // namespace

// A sum is quick, and a value that is not finite makes it not finite.
bool is_finite(const at::Tensor& tensor) {
  if (!tensor.is_floating_point() || tensor.numel() == 0) return true;
  const at::Tensor values = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
  const auto type = values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return std::isfinite(values.sum(type).item<double>()) || count_not_finite(tensor) == 0;
}

std::vector<std::string> find_not_finite(const formats::Weights& weights,
                                         const std::function<void(uint64_t)>& done) {
  std::vector<std::string> lines;
  uint64_t bytes = 0;
  for (const auto& [name, info] : weights.tensors) {
    const at::Tensor tensor = weights.read(name);
    if (!is_finite(tensor))
      lines.push_back(fmt::format("{}: {} of {} values are NaN or infinite", name, count_not_finite(tensor),
                                  info.numel()));
    bytes += info.bytes();
    if (done) done(bytes);
  }
  return lines;
}

}  // namespace pixart::convert
