// Objects that take nlohmann's ordered_json the square of their keys.
#pragma once
#include <fmt/format.h>

#include <string>

namespace pixart::testing {

// "k0":"0","k1":"1", ... without braces.
inline std::string many_keys(int64_t count = 60'000) {
  std::string keys;
  for (int64_t i = 0; i < count; ++i) keys += fmt::format("{}\"k{}\":\"{}\"", i == 0 ? "" : ",", i, i);
  return keys;
}

}  // namespace pixart::testing
