// The floating-point types that models are stored and run in, by the names of config files.
#pragma once
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <vector>

namespace pixart::nn {

std::vector<std::string> dtype_names();  // "float32", "bfloat16", "float16"
std::optional<at::ScalarType> dtype_called(const std::string& name);
std::string dtype_name(at::ScalarType type);  // InternalError for other types

}  // namespace pixart::nn
