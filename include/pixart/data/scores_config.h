// The keys of a source that filter and weight it by a file of scores.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"

namespace pixart::data {

// What becomes of a row that the file says nothing about.
enum class MissingScore { kReject, kKeep, kError };
inline EnumWords<MissingScore> enum_words(MissingScore) {
  return {{"reject", MissingScore::kReject}, {"keep", MissingScore::kKeep}, {"error", MissingScore::kError}};
}

struct ScoreLimit {
  std::string name;
  std::optional<double> at_least = {}, at_most = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Field of the file, e.g. aesthetic or clip_cosine.", required());
    v("at_least", s.at_least, "Smallest value of a row that is kept.", any());
    v("at_most", s.at_most, "Largest value of a row that is kept.", any());
  }
  void validate(std::vector<std::string>& problems) const;
};

struct ScoresConfig {
  std::filesystem::path file = {};
  std::string key = "key";
  std::vector<ScoreLimit> limits = {};
  std::string weight_by = {};
  MissingScore missing = MissingScore::kReject;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("file", s.file,
      "JSONL, CSV or TSV file with a line for each row, such as pixart data score writes; joined with the rows by "
      "key. Empty: every row is used.",
      any().by_content("stages that have not begun use what the file holds now"));
    v("key", s.key, "Field of the file that holds the key of a row.", any());
    v("limits", s.limits, "Values that a row needs to be kept; all of them count.", any());
    v("weight_by", s.weight_by,
      "Field that says how often a row is drawn, relative to the others; 0 leaves it out. Empty: all are drawn "
      "equally often.",
      any());
    v("missing", s.missing,
      "What becomes of a row that the file has no value for; keep gives it the mean weight.", any());
  }
  void validate(std::vector<std::string>& problems) const;
};

}  // namespace pixart::data
