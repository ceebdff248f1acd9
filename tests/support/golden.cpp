#include "golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "pixart/formats/tensor_file.h"

namespace pixart::testing {
namespace fs = std::filesystem;

namespace {

fs::path golden_folder() {
  const char* folder = std::getenv("PIXART_GOLDEN_DIR");
  return folder != nullptr && *folder != '\0' ? fs::path(folder)
                                              : fs::path(PIXART_SOURCE_DIR) / "tests" / "golden";
}

std::map<std::string, at::Tensor> load_if_there(const fs::path& path) {
  return fs::exists(path) ? formats::load_safetensors(path).tensors : std::map<std::string, at::Tensor>{};
}

struct Tolerance {
  double atol = 0, rtol = 0;
};

// A tolerance may be a number or a number per dtype name.
double number_for(const nlohmann::json& entry, const at::Tensor& got) {
  if (entry.is_number()) return entry.get<double>();
  return entry
      .at(std::string(c10::toString(got.scalar_type()) == std::string("BFloat16") ? "bfloat16" : "float32"))
      .get<double>();
}

Tolerance tolerance_of(const GoldenCase& c, const std::string& name, const at::Tensor& got) {
  Tolerance result;
  if (!c.json.contains("tolerance")) return result;
  const auto& all = c.json.at("tolerance");
  for (const nlohmann::json* level :
       {&all, all.contains("per_tensor") && all["per_tensor"].contains(name) ? &all["per_tensor"][name]
                                                                             : nullptr}) {
    if (level == nullptr) continue;
    if (level->contains("atol")) result.atol = number_for((*level)["atol"], got);
    if (level->contains("rtol")) result.rtol = number_for((*level)["rtol"], got);
  }
  return result;
}

}  // namespace

at::Tensor GoldenCase::tensor(const std::string& tensor_name) const {
  auto found = tensors.find(tensor_name);
  if (found == tensors.end()) throw std::runtime_error(kind + "/" + name + " has no tensor " + tensor_name);
  return found->second;
}

std::vector<GoldenCase> golden_cases(const std::string& kind) {
  return golden_cases_in(golden_folder(), kind);
}

std::vector<GoldenCase> golden_cases_in(const fs::path& golden, const std::string& kind) {
  std::vector<GoldenCase> cases;
  const fs::path folder = golden / kind;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!fs::exists(entry.path() / "case.json")) continue;
      GoldenCase c{.kind = kind,
                   .name = entry.path().filename(),
                   .folder = entry.path(),
                   .json = {},
                   .tensors = {},
                   .weights = {}};
      std::ifstream stream(c.folder / "case.json");
      c.json = nlohmann::json::parse(stream);
      c.tensors = load_if_there(c.folder / "tensors.safetensors");
      c.weights = load_if_there(c.folder / "weights.safetensors");
      cases.push_back(std::move(c));
    }
  }
  if (cases.empty()) throw std::runtime_error("no golden case of kind " + kind + " under " + golden.string());
  std::sort(cases.begin(), cases.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return cases;
}

void expect_golden(const GoldenCase& c, const std::string& name, const at::Tensor& got) {
  expect_golden(c, name, got, c.tensor(name));
}

void expect_golden(const GoldenCase& c, const std::string& name, const at::Tensor& got,
                   const at::Tensor& want) {
  const std::string what = c.kind + "/" + c.name + " " + name;
  ASSERT_TRUE(got.defined()) << what;
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  if (!at::isFloatingType(want.scalar_type())) {
    EXPECT_TRUE(at::equal(got.to(want.scalar_type()).cpu(), want)) << what << ": integers differ";
    return;
  }
  if (want.numel() == 0) return;
  const Tolerance tolerance = tolerance_of(c, name, got);
  const auto g = got.detach().cpu().to(at::kDouble), w = want.to(at::kDouble);
  ASSERT_TRUE(at::equal(g.isfinite(), w.isfinite())) << what << ": not finite in other places";
  const auto excess = (g - w).abs() - (tolerance.atol + tolerance.rtol * w.abs());
  const auto worst = at::nan_to_num(excess, -1, -1, -1).flatten().argmax();
  EXPECT_LE(excess.flatten()[worst].item<double>(), 0.0)
      << what << ": element " << worst.item<int64_t>() << " is " << g.flatten()[worst].item<double>()
      << ", want " << w.flatten()[worst].item<double>() << " (atol " << tolerance.atol << ", rtol "
      << tolerance.rtol << ")";
}

}  // namespace pixart::testing
