#include "card.h"

#include <map>
#include <nlohmann/json.hpp>

#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/bounded_json.h"
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

// Discarded or null if it is not JSON, or beyond the limits of formats::parse_ordered() and values_by_path().
ordered_json parse(const std::string& text) {
  auto json = formats::parse_ordered_or_discard(text);
  if (!formats::values_by_path(json)) return nullptr;
  return json;
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

// The values of two parts of cards by their paths ("reference/sha256"); all of them, or those that differ.
std::vector<ScoreDifference> compare(const ordered_json& first, const ordered_json& second,
                                     bool only_different) {
  const auto own = formats::values_by_path(first).value(), other = formats::values_by_path(second).value();
  using Named = std::map<std::string, const ordered_json*>;
  const Named own_named(own.begin(), own.end()), other_named(other.begin(), other.end());
  std::vector<ScoreDifference> result;
  for (const auto* side : {&own, &other})
    for (const auto& [name, unused] : *side) {
      if (side == &other && own_named.contains(name)) continue;
      const auto text_at = [&path = name](const Named& named) {
        const auto found = named.find(path);
        return found == named.end() ? "-" : text_of(*found->second);
      };
      const std::string one = text_at(own_named), two = text_at(other_named);
      if (!only_different || one != two) result.push_back({.name = name, .first = one, .second = two});
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
