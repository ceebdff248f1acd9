// Walks golden cases: <PIXART_GOLDEN_DIR>/<kind>/<case>/case.json (see tests/golden/README.md).
#pragma once
#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pixart::testing {

struct GoldenCase {
  std::string kind, name;
  std::filesystem::path folder;
  nlohmann::json json;                        // case.json
  std::map<std::string, at::Tensor> tensors;  // tensors.safetensors, empty where absent
  std::map<std::string, at::Tensor> weights;  // weights.safetensors, empty where absent

  const nlohmann::json& config() const { return json.at("config"); }
  at::Tensor tensor(const std::string& name) const;  // fails the test if absent
  bool has(const std::string& name) const { return tensors.count(name) != 0; }
};

// All cases of a kind, sorted by name. Throws if there is none: an empty walk is not a pass.
std::vector<GoldenCase> golden_cases(const std::string& kind);
std::vector<GoldenCase> golden_cases_in(const std::filesystem::path& golden, const std::string& kind);

// |got - want| <= atol + rtol |want| with the case's tolerance for tensor `name` ("per_tensor" entry first,
// then the case's own atol/rtol, "exact", integers equal). Adds a test failure that names case, tensor and
// worst element.
void expect_golden(const GoldenCase& c, const std::string& name, const at::Tensor& got);
void expect_golden(const GoldenCase& c, const std::string& name, const at::Tensor& got,
                   const at::Tensor& want);

}  // namespace pixart::testing
