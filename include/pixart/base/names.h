// Tables whose rows have a `name`, and lists of names.
#pragma once
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart {

template <class Items, class Item>
bool contains(const Items& items, const Item& item) {
  return std::find(std::begin(items), std::end(items), item) != std::end(items);
}

template <class Rows>
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

// "unknown sampler 'x'; known are a, b. Did you mean 'a'?"
inline std::string unknown_name(std::string_view what, std::string_view name,
                                const std::vector<std::string>& known) {
  return fmt::format("unknown {} '{}'; known are {}.{}", what, name, join(known, ", "),
                     did_you_mean(name, known));
}

// The row with this name, or nullptr.
template <class Rows>
auto find_named(const Rows& rows, std::string_view name) {
  const auto found =
      std::find_if(std::begin(rows), std::end(rows), [&](const auto& row) { return name == row.name; });
  return found == std::end(rows) ? nullptr : &*found;
}

// The row with this name. Throws UserError that calls it `what` and lists the known names.
template <class Rows>
const auto& row_named(const Rows& rows, std::string_view name, std::string_view what) {
  if (const auto* row = find_named(rows, name)) return *row;
  throw UserError(unknown_name(what, name, names_of(rows)));
}

}  // namespace pixart
