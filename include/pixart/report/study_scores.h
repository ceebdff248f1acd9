// The scores of a user study: the file that `pixart study score` writes, and how it is shown.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pixart::report {

struct Interval {  // 95 %
  double low = 0, high = 0;
};

struct StudyModel {
  std::string name;
  double preferred =
      0;  // rankings: share of screens where it is first; pairs: of its comparisons that it won
  Interval preferred_interval = {};
  double strength = 0;  // Bradley-Terry, natural logarithm; the mean of all models is 0
  Interval strength_interval = {};
  std::vector<double> ranks = {};  // share of screens with each rank, the best first; ties share their ranks
};

struct StudyPair {
  std::string a, b;
  double a_better = 0, b_better = 0, equal = 0;  // answers
  double preference = 0;                         // for a; ties count half
  Interval interval = {};
};

struct StudyQuestion {
  std::string question;  // "quality", "alignment"
  int64_t answers = 0, cannot_tell = 0;
  std::optional<double> agreement = {};  // Krippendorff's alpha; unset: no screen was answered by two people
  std::vector<StudyModel> models = {};
  std::vector<StudyPair> pairs = {};
};

struct ExcludedPerson {
  std::string person;
  std::vector<std::string> reasons = {};
};

struct StudyScores {
  std::string study, title, design;
  int64_t people = 0, used = 0, prompts = 0, replicates = 0;
  std::vector<StudyQuestion> questions = {};
  std::vector<ExcludedPerson> excluded = {};
  std::vector<std::string> rules = {};  // sentences: when a person is excluded
  std::string file = {};                // relative to the run folder, if it was found in one
};

std::string study_json(const StudyScores& scores);
std::optional<StudyScores> parse_study_scores(const std::string& text);  // nothing, if it is another file

std::string study_html(const StudyScores& scores);  // parts of a page: bars as in the paper's figure, tables
std::string study_page(const StudyScores& scores, const std::string& made);

// Throws UserError if study.json or study.html in `folder` is there and was not written by `pixart study score`.
void require_own_study(const std::filesystem::path& folder);

}  // namespace pixart::report
