// Weights of EfficientNet-Lite0 by the formula of formula_inception.h: what tests/golden/generate/efficientnet_lite.py
// computes, bit for bit.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formula_inception.h"

namespace pixart::testing {

// The formula knows a tensor's part by the end of its name: conv.weight, bn.weight.
inline std::string name_for_formula(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> kKnown[] = {{"_conv_stem.", "_stem_conv."},
                                                                      {"_conv_head.", "_head_conv."},
                                                                      {"_bn0.", "_0bn."},
                                                                      {"_bn1.", "_1bn."},
                                                                      {"_bn2.", "_2bn."}};
  for (const auto& [own, known] : kKnown)
    if (const size_t at = name.find(own); at != std::string::npos) name.replace(at, own.size(), known);
  return name;
}

inline std::map<std::string, at::Tensor> formula_efficientnet(
    const std::map<std::string, std::vector<int64_t>>& shapes) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, shape] : shapes) weights[name] = formula_weight(name_for_formula(name), shape);
  return weights;
}

}  // namespace pixart::testing
