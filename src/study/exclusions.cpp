#include "exclusions.h"

#include <algorithm>
#include <map>

#include "statistics.h"

namespace pixart::study {
namespace {

// A destroyed image that is alone in the last place.
bool passes(const Trial& trial, const Answer& answer) {
  return !answer.order.empty() && answer.order.back() == std::vector<int>{int(trial.of)};
}

struct Checks {
  int64_t shown = 0, passed = 0;
  double chance = 1;  // the largest probability of a guess to pass
};

Checks degraded_checks(const Person& person, const std::map<int64_t, Answer>& answers) {
  Checks checks{.chance = 0};
  for (const auto& [number, answer] : answers) {
    const Trial& trial = person.trials[size_t(number)];
    if (trial.check != Check::kDegraded) continue;
    ++checks.shown;
    checks.passed += passes(trial, answer);
    checks.chance = std::max(checks.chance, 1 / double(trial.models.size()));
  }
  return checks;
}

// Pairs of images that both answers put in the same order, less those that they put in opposite orders. A repeat shows
// the images in the opposite order.
int agreement_of(const std::vector<int>& first, std::vector<int> again) {
  std::ranges::reverse(again);
  int agreement = 0;
  for (size_t i = 0; i < first.size(); ++i)
    for (size_t j = i + 1; j < first.size(); ++j) {
      const int a = (first[i] > first[j]) - (first[i] < first[j]),
                b = (again[i] > again[j]) - (again[i] < again[j]);
      agreement += a * b;
    }
  return agreement;
}

Checks repeat_checks(const Person& person, const std::map<int64_t, Answer>& answers) {
  Checks checks;
  for (const auto& [number, answer] : answers) {
    const Trial& trial = person.trials[size_t(number)];
    const auto first = trial.check == Check::kRepeat ? answers.find(trial.of) : answers.end();
    if (first == answers.end() || answer.order.empty() || first->second.order.empty()) continue;
    const size_t count = trial.models.size();
    const int agreement = agreement_of(ranks_of(first->second, count), ranks_of(answer, count));
    checks.shown += agreement != 0;
    checks.passed += agreement > 0;
  }
  return checks;
}

double median_seconds(const std::map<int64_t, Answer>& answers) {
  constexpr double kMillisecondsOfSecond = 1000;
  std::vector<double> seconds;
  for (const auto& [number, answer] : answers)
    seconds.push_back(double(answer.milliseconds) / kMillisecondsOfSecond);
  return quantile(seconds, 0.5);
}

// The share of the answers with one image in front that put the same position there.
struct SamePosition {
  double share = 0;
  int64_t answers = 0;
};
SamePosition same_position(const std::map<int64_t, Answer>& answers) {
  std::map<int, int64_t> counts;
  SamePosition same;
  for (const auto& [number, answer] : answers)
    if (!answer.order.empty() && answer.order.front().size() == 1)
      ++counts[answer.order.front().front()], ++same.answers;
  for (const auto& [position, count] : counts)
    same.share = std::max(same.share, double(count) / double(same.answers));
  return same;
}

constexpr double kMostAtOnePosition = 0.95;
constexpr int64_t kLeastForPosition = 12, kLeastRepeats = 5;

}  // namespace

std::vector<int> ranks_of(const Answer& answer, size_t count) {
  std::vector<int> ranks(count);
  int rank = 0;
  for (const auto& group : answer.order) {
    for (const int position : group) ranks[size_t(position)] = rank;
    rank += int(group.size());
  }
  return ranks;
}

std::vector<std::string> reasons_to_exclude(const Person& person, const std::map<int64_t, Answer>& answers,
                                            int64_t contradicted, const ScoreOptions& options) {
  std::vector<std::string> reasons;
  if (answers.empty()) return {"no answers"};
  const double complete = double(answers.size()) / double(person.trials.size());
  if (complete < options.least_complete)
    reasons.push_back(fmt::format("incomplete: {} of {} screens", answers.size(), person.trials.size()));
  if (const double seconds = median_seconds(answers); seconds < options.least_seconds)
    reasons.push_back(fmt::format("too fast: half of the screens took less than {:.2f} s", seconds));
  const Checks destroyed = degraded_checks(person, answers);
  const double tail = binomial_tail(destroyed.shown, destroyed.passed, destroyed.chance);
  if (destroyed.passed < destroyed.shown && tail > options.most_chance)
    reasons.push_back(
        fmt::format("attention: {} of {} destroyed images noticed", destroyed.passed, destroyed.shown));
  const Checks repeats = repeat_checks(person, answers);
  const auto opposite = repeats.shown - repeats.passed;
  if (repeats.shown >= kLeastRepeats &&
      double(opposite) > options.most_contradictions * double(repeats.shown))
    reasons.push_back(fmt::format("at random: {} of {} repeated screens answered in the opposite way",
                                  opposite, repeats.shown));
  if (const auto same = same_position(answers);
      same.answers >= kLeastForPosition && same.share > kMostAtOnePosition)
    reasons.push_back(fmt::format("the same position is best in {:.0f} % of the answers", 100 * same.share));
  if (contradicted > 0)
    reasons.push_back(fmt::format(
        "two different answers to {} screens under one number: two people, or two browsers", contradicted));
  return reasons;
}

std::vector<std::string> rules_of(const ScoreOptions& options) {
  return {fmt::format(
      "A person is excluded who answered less than {:.0f} % of the screens; who took less than {:g} s for "
      "half of them; who noticed no more destroyed images than a guess does with a probability of {:g}; who "
      "answered more than {:.0f} % of the repeated screens (at least {}) in the opposite way; who found the "
      "same position best in more than {:.0f} % of the screens (at least {}); or whose number has two "
      "different answers to a screen.",
      100 * options.least_complete, options.least_seconds, options.most_chance,
      100 * options.most_contradictions, kLeastRepeats, 100 * kMostAtOnePosition, kLeastForPosition)};
}

}  // namespace pixart::study
