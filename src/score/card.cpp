#include "card.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/deletion.h"
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

// Discarded if it is not JSON, or deeper than a card: the library goes down by recursion.
ordered_json parse(const std::string& text) {
  constexpr int kDeepest = 32;
  bool is_deep = false;
  const auto is_card_deep = [&](int depth, ordered_json::parse_event_t, ordered_json&) {
    is_deep = is_deep || depth > kDeepest;
    return !is_deep;
  };
  auto json = ordered_json::parse(text, is_card_deep, /*allow_exceptions=*/false);
  return is_deep ? ordered_json() : json;
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

// The protocol without what belongs to metrics that only this card has: the whole of a network, the reference, and
// what single metrics add to the parts of their network and to the settings.
ordered_json of_shared_metrics(ordered_json protocol, const ordered_json& other) {
  for (const char* name : {"reference", "network", "weights_sha256", "resize", "side"})
    if (!other.contains(name)) protocol.erase(name);
  for (const char* name : {"settings", "clip", "image_reward", "efficientnet_lite0"}) {
    if (!protocol.contains(name) || !protocol[name].is_object()) continue;
    ordered_json shared = ordered_json::object();
    for (const auto& [key, value] : protocol[name].items())
      if (other.contains(name) && other[name].contains(key)) shared[key] = value;
    if (shared.empty())
      protocol.erase(name);
    else
      protocol[name] = std::move(shared);
  }
  return protocol;
}

}  // namespace

CardComparison compare_cards(const std::string& first, const std::string& first_name,
                             const std::string& second, const std::string& second_name) {
  const auto one = read_card(first, first_name), two = read_card(second, second_name);
  const auto &protocol = one["protocol"], &other = two["protocol"];
  return {.values = compare(one["scores"], two["scores"], /*only_different=*/false),
          .protocol = compare(of_shared_metrics(protocol, other), of_shared_metrics(other, protocol),
                              /*only_different=*/true),
          .machine = compare(one["machine"], two["machine"], /*only_different=*/true)};
}

namespace {

struct MadeFolders {
  std::vector<fs::path> paths = {};  // the deepest first
  ~MadeFolders() {
    for (const auto& path : paths) delete_empty_folder(path);
  }
};

}  // namespace

void require_writable(const fs::path& file) {
  const fs::path target = link_target(file), folder = target.parent_path();
  MadeFolders made;
  std::error_code error;
  for (fs::path missing = folder; !missing.empty() && !fs::exists(missing, error);
       missing = missing.parent_path())
    made.paths.push_back(missing);
  if (!folder.empty()) create_folders(folder);
  const AtomicFile tried(target);
}

fs::path card_path(const fs::path& out) {
  const fs::path path = out.extension() == ".json" ? out : out / "score.json";
  if (path != out && fs::exists(out) && !fs::is_directory(out))
    throw UserError(
        fmt::format("{} is a file: give a folder, or a name that ends in .json, as --out.", out.string()));
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const auto is_ours = [&] {
    return fs::is_regular_file(path) && fs::file_size(path) <= kLargest &&
           is_card(parse(read_file(path, kLargest)));
  };
  if (fs::exists(path) && !is_ours())
    throw UserError(
        fmt::format("{} is there and is not a card of pixart score: give another --out.", path.string()));
  require_writable(path);
  return path;
}

}  // namespace pixart::score
