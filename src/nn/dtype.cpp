#include "pixart/nn/dtype.h"

#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

struct Dtype {
  const char* name;
  at::ScalarType type;
};
constexpr Dtype kDtypes[] = {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};

}  // namespace

std::vector<std::string> dtype_names() {
  std::vector<std::string> names;
  for (const auto& dtype : kDtypes) names.emplace_back(dtype.name);
  return names;
}

std::optional<at::ScalarType> dtype_called(const std::string& name) {
  for (const auto& dtype : kDtypes)
    if (name == dtype.name) return dtype.type;
  return std::nullopt;
}

std::string dtype_name(at::ScalarType type) {
  for (const auto& dtype : kDtypes)
    if (type == dtype.type) return dtype.name;
  PIXART_CHECK(false, "a model of type {}", c10::toString(type));
}

}  // namespace pixart::nn
