// The floating-point types in which models are stored and run, with their names in config files.
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
