// Simulated studies: models of known strengths, and people who answer by them, at random, or otherwise.
#pragma once
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "answers.h"
#include "pixart/base/random.h"
#include "plan.h"

namespace pixart::testing {

inline study::MakeRequest request_of(int models, int prompts, int64_t people, int64_t seen,
                                     study::Design design = study::Design::kPairs) {
  study::MakeRequest request{.design = design, .people = people, .seen = seen, .seed = 7};
  for (int i = 0; i < models; ++i)
    request.models.push_back({.name = std::string("m") + char('a' + i), .images = {}});
  for (int i = 0; i < prompts; ++i) request.prompts.push_back("prompt " + std::to_string(i));
  return request;
}

inline study::Study study_of(const study::MakeRequest& request) {
  study::Study study{
      .id = "0123456789ab", .title = "a study", .design = request.design, .questions = request.questions};
  for (const auto& model : request.models) study.models.push_back(model.name);
  study.prompts = request.prompts;
  study.people = study::assign(request);
  return study;
}

class Rater {
 public:
  explicit Rater(uint64_t seed, uint64_t person) : key_{seed, person, Purpose::kTest} {}
  double draw() { return uniform(key_, next_++); }

  // The order of Plackett-Luce for these strengths; of two images that of Bradley-Terry. A destroyed image is last.
  std::vector<std::vector<int>> order(const study::Trial& trial, const std::vector<double>& strengths) {
    std::vector<std::pair<double, int>> drawn;
    for (size_t i = 0; i < trial.models.size(); ++i) {
      const bool is_destroyed = trial.check == study::Check::kDegraded && trial.of == int64_t(i);
      const double strength = is_destroyed ? -1e6 : strengths[size_t(trial.models[i])];
      drawn.emplace_back(strength - std::log(-std::log(std::max(draw(), 1e-300))), int(i));  // Gumbel
    }
    std::ranges::sort(drawn, std::greater<>());
    std::vector<std::vector<int>> groups;
    for (const auto& [value, position] : drawn) groups.push_back({position});
    return groups;
  }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

inline std::string line_of(const study::Study& study, const study::Answer& answer) {
  nlohmann::ordered_json line = {{"study", study.id}, {"person", answer.person}, {"trial", answer.trial}};
  line.update(study::answer_json(answer));
  return line.dump() + "\n";
}

// The first `at_random` people know nothing: all strengths are equal to them, of destroyed images too.
inline std::string answers_of(const study::Study& study, const std::vector<double>& strengths, uint64_t seed,
                              size_t at_random = 0) {
  std::string lines;
  for (size_t p = 0; p < study.people.size(); ++p) {
    Rater rater(seed, p);
    const auto& person = study.people[p];
    for (size_t t = 0; t < person.trials.size(); ++t) {
      study::Trial trial = person.trials[t];
      if (p < at_random) trial.check = study::Check::kNone;
      const std::vector<double> none(strengths.size());
      lines += line_of(study, {.person = person.name,
                               .trial = int64_t(t),
                               .order = rater.order(trial, p < at_random ? none : strengths),
                               .milliseconds = 3000,
                               .seq = int64_t(t) + 1});
    }
  }
  return lines;
}

}  // namespace pixart::testing
