// Scores of a user study from the answers of its people.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/report/study_scores.h"

namespace pixart::study {

struct ScoreOptions {
  // A person is excluded who
  double least_complete = 0.8;  // answered a smaller share of the screens,
  double least_seconds = 1;     // took less time for half of the screens,
  double most_chance =
      0.05;  // passed no more checks with destroyed images than guesses do with this probability,
  double most_contradictions =
      0.7;                    // contradicted a larger share of the own answers when screens were repeated.
  int64_t replicates = 1000;  // of the bootstrap
  uint64_t seed = 0;
};

struct Scored {
  report::StudyScores scores;
  std::vector<std::string> remarks = {};  // lines that are not answers, and other sentences for the user
};

// `answers`: files of JSON lines, in any order; of several answers to one screen the newest counts. Preferences
// and Bradley-Terry strengths have percentile intervals of a bootstrap that draws people and prompts again
// (Owen 2007, "The pigeonhole bootstrap"), which are rather too wide. A model that lost or won everything has a finite
// strength, because each model also plays a tenth of a tied game against one of strength 0. Throws UserError if the key
// was changed, or nothing can be scored.
Scored score_study(const std::filesystem::path& key, const std::vector<std::filesystem::path>& answers,
                   const ScoreOptions& options);

}  // namespace pixart::study
