#include "pixart/nn/dtype.h"

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::nn {

namespace {

struct Dtype {
  const char* name;
  at::ScalarType type;
};
constexpr Dtype kDtypes[] = {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};

}  // namespace

std::vector<std::string> dtype_names() { return names_of(kDtypes); }

std::optional<at::ScalarType> dtype_called(const std::string& name) {
  const auto* dtype = find_named(kDtypes, name);
  return dtype == nullptr ? std::nullopt : std::optional(dtype->type);
}

std::string dtype_name(at::ScalarType type) {
  for (const auto& dtype : kDtypes)
    if (type == dtype.type) return dtype.name;
  PIXART_CHECK(false, "a model of type {}", c10::toString(type));
}

}  // namespace pixart::nn
