// Reads the cards of `pixart score` in a run folder, and compares what their values depend on.
#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"
#include "reading.h"

namespace pixart::report {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kKind = "pixart score, 1";  // another number: values of another meaning
constexpr const char* kSettings = "settings";
constexpr size_t kMostCards = 10'000;

std::string text_of(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

bool is_plain_file(const fs::directory_entry& entry) {
  std::error_code error;
  return fs::is_regular_file(entry.symlink_status(error));
}

}  // namespace

std::map<std::string, std::string> by_path(const ordered_json& object) {
  std::map<std::string, std::string> result;
  const auto values = formats::values_by_path(object).value();
  for (const auto& [path, value] : values) result[path] = text_of(*value);
  return result;
}

ordered_json card_json(const std::string& text) {
  auto json = formats::parse_ordered_or_discard(text);
  if (!formats::values_by_path(json)) return nullptr;
  return json;
}

std::vector<fs::path> files_below(RunRecord& run, const char* name, const std::regex& wanted) {
  const fs::path folder = run.folder / name;
  std::vector<fs::path> files;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return files;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && at != end && files.size() < kMostCards;
       at.increment(error))
    if (std::regex_match(at->path().lexically_relative(folder).generic_string(), wanted) &&
        is_plain_file(*at))
      files.push_back(at->path());
  if (error) run.remarks.push_back(fmt::format("{} cannot be listed whole: {}.", name, error.message()));
  if (files.size() == kMostCards)
    run.remarks.push_back(
        fmt::format("Of the cards in {} only {} are read.", name, with_thousands(kMostCards)));
  std::sort(files.begin(), files.end());
  return files;
}

namespace {

std::string metric_of(const std::string& path) { return path.substr(0, path.find('/')); }

bool has_settings_of(const ScoreCard& card, const std::string& metric) {
  const auto next = card.settings.lower_bound(metric + "/");
  return card.settings.count(metric) > 0 || (next != card.settings.end() && metric_of(next->first) == metric);
}

// Adds the names whose values differ, in both directions.
void add_different(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b,
                   const std::function<bool(const std::string&)>& counts, std::vector<std::string>& found) {
  std::set<std::string> known(found.begin(), found.end());
  for (const auto* side : {&a, &b})
    for (const auto& [name, value] : *side) {
      const auto& other = side == &a ? b : a;
      const auto same = other.find(name);
      const bool differs = same == other.end() || same->second != value;
      if (differs && counts(name) && known.insert(name).second) found.push_back(name);
    }
}

// The card in a file; a remark if there is another content.
std::optional<ScoreCard> read_card(RunRecord& run, const fs::path& file) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const std::string name = file.lexically_relative(run.folder).generic_string();
  try {
    auto card = parse_score_card(read_file(file, kLargest));
    if (!card) run.remarks.push_back(name + " is not a card of pixart score.");
    if (card) card->file = name;
    return card;
  } catch (const UserError& error) {
    run.remarks.push_back(error.what());
    return std::nullopt;
  }
}

void add_card(RunRecord& run, const fs::path& file, const std::string& stage, int64_t step) {
  auto card = read_card(run, file);
  if (!card) return;
  card->stage = stage, card->step = step;
  run.cards.push_back(std::move(*card));
}

}  // namespace

std::optional<ScoreCard> parse_score_card(const std::string& text) {
  const auto json = card_json(text);
  if (!json.is_object() || json.value("kind", ordered_json()) != kKind) return std::nullopt;
  for (const char* part : {"scores", "protocol"})
    if (!json.contains(part) || !json[part].is_object()) return std::nullopt;
  ScoreCard card;
  for (const auto& [name, value] : json["scores"].items())
    if (value.is_number()) card.values.emplace_back(name, value.get<double>());
  auto protocol = json["protocol"];
  if (protocol.contains(kSettings)) card.settings = by_path(protocol[kSettings]);
  protocol.erase(kSettings);
  card.protocol = by_path(protocol);
  return card;
}

std::vector<std::string> protocol_differences(const ScoreCard& a, const ScoreCard& b) {
  std::vector<std::string> found;
  add_different(
      a.protocol, b.protocol, [](const auto&) { return true; }, found);
  add_different(
      a.settings, b.settings,
      [&](const auto& path) {
        return has_settings_of(a, metric_of(path)) && has_settings_of(b, metric_of(path));
      },
      found);
  return found;
}

CardGroups by_protocol(const std::vector<const ScoreCard*>& cards) {
  CardGroups groups, kinds;  // of each group: one card of each of its protocols, which are few
  for (const ScoreCard* card : cards) {
    const auto is_same = [&](const ScoreCard* other) {
      return other->protocol == card->protocol && other->settings == card->settings;
    };
    const auto takes = [&](const auto& kind) {
      return std::any_of(kind.begin(), kind.end(), is_same) ||
             std::all_of(kind.begin(), kind.end(),
                         [&](const auto* other) { return protocol_differences(*card, *other).empty(); });
    };
    const size_t place = size_t(std::find_if(kinds.begin(), kinds.end(), takes) - kinds.begin());
    groups.resize(std::max(groups.size(), place + 1)), kinds.resize(groups.size());
    groups[place].push_back(card);
    if (std::none_of(kinds[place].begin(), kinds[place].end(), is_same)) kinds[place].push_back(card);
  }
  return groups;
}

void read_score_cards(RunRecord& run) {
  static const std::regex wanted("((.*/)?([^/]+)/step-([0-9]{1,15})\\.json)|((.*/)?score\\.json)");
  constexpr size_t kStage = 3, kStep = 4;
  for (const char* folder : {"metrics", "scores"})
    for (const auto& file : files_below(run, folder, wanted)) {
      const std::string name = file.lexically_relative(run.folder / folder).generic_string();
      std::smatch match;
      std::regex_match(name, match, wanted);
      if (match[kStep].matched)
        add_card(run, file, match[kStage], std::stoll(match[kStep]));
      else
        add_card(run, file, "", -1);
    }
  const auto place = [&](const ScoreCard& card) {
    const auto is_its = [&](const StageRecord& stage) { return stage.name == card.stage; };
    return std::find_if(run.stages.begin(), run.stages.end(), is_its) - run.stages.begin();
  };
  std::stable_sort(run.cards.begin(), run.cards.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

// What `pixart study score` wrote.
void read_studies(RunRecord& run) {
  static const std::regex wanted("(.*/)?study\\.json");
  constexpr uint64_t kLargest = uint64_t{8} << 20;
  for (const auto& file : files_below(run, "scores", wanted)) {
    const std::string name = file.lexically_relative(run.folder).generic_string();
    try {
      auto study = parse_study_scores(read_file(file, kLargest));
      if (!study) run.remarks.push_back(name + " is not a file of pixart study score.");
      if (study) study->file = name, run.studies.push_back(std::move(*study));
    } catch (const UserError& error) {
      run.remarks.push_back(error.what());
    }
  }
}

}  // namespace pixart::report
