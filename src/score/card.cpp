#include "card.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/score/score.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

bool is_card(const ordered_json& json) {
  if (!json.is_object() || json.value("kind", ordered_json()) != kCardKind) return false;
  for (const char* part : {"scores", "protocol", "machine"})
    if (!json.contains(part) || !json[part].is_object()) return false;
  return true;
}

ordered_json parse(const std::string& text) {
  return ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

ordered_json read_card(const std::string& text, const std::string& name) {
  auto card = parse(text);
  if (!is_card(card))
    throw UserError(fmt::format("{} is not a card of pixart score (JSON of kind '{}').", name, kCardKind));
  return card;
}

std::string text_of(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The values of two objects by their paths ("reference/sha256"); all of them, or those that differ.
std::vector<ScoreDifference> compare(const ordered_json& first, const ordered_json& second,
                                     bool only_different) {
  const auto own = first.flatten(), other = second.flatten();
  std::vector<std::string> names;
  for (const auto* side : {&own, &other})
    for (const auto& [name, value] : side->items())
      if (!name.empty() && (side == &own || !own.contains(name))) names.push_back(name);  // "": of no value
  std::vector<ScoreDifference> result;
  for (const auto& name : names) {
    if (name.empty()) continue;  // an empty object
    const auto value = [&](const ordered_json& side) {
      return side.contains(name) ? text_of(side[name]) : "-";
    };
    if (!only_different || value(own) != value(other))
      result.push_back({.name = name.substr(1), .first = value(own), .second = value(other)});
  }
  return result;
}

// The protocol with the settings of those metrics only that both cards have.
ordered_json without_other_settings(ordered_json protocol, const ordered_json& other) {
  ordered_json shared = ordered_json::object();
  const auto settings = protocol.value("settings", ordered_json::object());
  for (const auto& [metric, values] : settings.items())
    if (other.contains("settings") && other["settings"].contains(metric)) shared[metric] = values;
  protocol["settings"] = std::move(shared);
  return protocol;
}

}  // namespace

CardComparison compare_cards(const std::string& first, const std::string& first_name,
                             const std::string& second, const std::string& second_name) {
  const auto one = read_card(first, first_name), two = read_card(second, second_name);
  const auto &protocol = one["protocol"], &other = two["protocol"];
  return {.values = compare(one["scores"], two["scores"], /*only_different=*/false),
          .protocol = compare(without_other_settings(protocol, other),
                              without_other_settings(other, protocol), /*only_different=*/true),
          .machine = compare(one["machine"], two["machine"], /*only_different=*/true)};
}

fs::path card_path(const fs::path& out) {
  const fs::path path = out.extension() == ".json" ? out : out / "score.json";
  if (path != out && fs::exists(out) && !fs::is_directory(out))
    throw UserError(
        fmt::format("{} is a file: give a folder, or a name that ends in .json, as --out.", out.string()));
  if (!fs::exists(path)) return path;
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const bool is_ours = fs::is_regular_file(path) && fs::file_size(path) <= kLargest &&
                       is_card(parse(read_file(path, kLargest)));
  if (!is_ours)
    throw UserError(
        fmt::format("{} is there and is not a card of pixart score: give another --out.", path.string()));
  return path;
}

}  // namespace pixart::score
