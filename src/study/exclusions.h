// Who is left out of the scores of a study, and why.
#pragma once
#include <string>
#include <vector>

#include "answers.h"
#include "pixart/study/score.h"

namespace pixart::study {

// The reasons to exclude a person; none: the answers are used.
std::vector<std::string> reasons_to_exclude(const Person& person, const std::map<int64_t, Answer>& answers,
                                            int64_t contradicted, const ScoreOptions& options);

std::vector<std::string> rules_of(const ScoreOptions& options);  // sentences

// An order as ranks of positions, from 0; tied positions have equal ranks.
std::vector<int> ranks_of(const Answer& answer, size_t count);

}  // namespace pixart::study
