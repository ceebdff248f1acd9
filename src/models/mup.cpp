#include "pixart/models/mup.h"

#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/models/alignment.h"

namespace pixart::models {

namespace {

using Factors = std::map<std::string, std::vector<double>>;

void add(Factors& factors, const std::string& name, const std::vector<double>& parts) {
  for (const double part : parts)
    if (part != 1) {
      factors[name] = parts;
      return;
    }
}

}  // namespace

TransformerConfig at_base(const TransformerConfig& config, const WidthBase& base) {
  return std::visit(
      [&](auto kind) {
        kind.hidden_size = base.width;
        kind.num_heads = base.heads;
        return TransformerConfig(kind);
      },
      config.kind());
}

double query_scale(const TransformerShape& shape, const WidthBase& base) {
  const double width = double(shape.hidden_size) / double(shape.num_heads),
               base_width = double(base.width) / double(base.heads);
  return std::sqrt(base_width / width);
}

Factors learning_rate_factors(const TransformerConfig& config, const WidthBase& base) {
  nn::StateDict own({.dtype = at::kFloat, .device = at::kMeta}),
      narrow({.dtype = at::kFloat, .device = at::kMeta});
  const Transformer model(nn::Scope(own), config), base_model(nn::Scope(narrow), at_base(config, base));
  const double query = query_scale(config.shape(), base);
  Factors factors;
  for (const auto& linear : own.linears()) {
    const std::string weight = linear.name + ".weight", bias = linear.name + ".bias";
    const double rate = double(narrow.get(weight).size(1)) / double(own.get(weight).size(1));
    if (linear.name.ends_with(".attn.qkv") && !config.shape().qk_norm) {
      add(factors, weight, {rate * query, rate, rate});
      add(factors, bias, {query, 1, 1});
    } else if (linear.name.ends_with(".q_linear")) {
      add(factors, weight, {rate * query});
      add(factors, bias, {query});
    } else {
      add(factors, weight, {rate});
    }
  }
  for (const auto& item : own.items())  // of normalised queries only the norm has a size
    if (item.name.ends_with(".q_norm.weight") || item.name.ends_with(".q_norm.bias"))
      add(factors, item.name, {query});
  add(factors, kAlignmentInput, {double(base.width) / double(config.shape().hidden_size)});
  return factors;
}

}  // namespace pixart::models
