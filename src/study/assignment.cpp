#include <algorithm>
#include <utility>

#include "pixart/base/random.h"
#include "pixart/formats/hash.h"
#include "plan.h"

namespace pixart::study {
namespace {

// Streams of Purpose::kStudy.
enum Stream : uint64_t { kUnits, kFirstSide, kOrder, kCheckChoice, kCheckPlace, kDegradedModel };

struct Unit {
  int64_t prompt = 0;
  size_t group = 0;              // of units with the same models
  int64_t number = 0;            // in its group
  std::vector<int> models = {};  // in ascending order
};

std::vector<std::vector<int>> groups_of(const MakeRequest& request) {
  const int count = int(request.models.size());
  std::vector<std::vector<int>> groups;
  if (request.design == Design::kRanking) groups.emplace_back();
  for (int a = 0; a < count; ++a) {
    if (request.design == Design::kRanking) groups.front().push_back(a);
    for (int b = a + 1; b < count && request.design == Design::kPairs; ++b) groups.push_back({a, b});
  }
  return groups;
}

std::vector<Unit> units_of(const MakeRequest& request) {
  const auto groups = groups_of(request);
  const auto num_prompts = int64_t(request.prompts.size());
  std::vector<Unit> units;
  std::vector<int64_t> numbers(groups.size());
  for (const int64_t at :
       permutation({request.seed, kUnits, Purpose::kStudy}, num_prompts * int64_t(groups.size()))) {
    const auto group = size_t(at / num_prompts);
    units.push_back({at % num_prompts, group, numbers[group]++, groups[group]});
  }
  return units;
}

// Which models are where when a unit is shown for the round-th time. In a group the positions turn by one from
// screen to screen, so each model is at each position equally often within one, over all screens and over those of a
// prompt. If the number of prompts is a multiple of the positions, the turn of a round begins one further, or a
// prompt would have the same order in all rounds.
std::vector<int> placed(const MakeRequest& request, const Unit& unit, int64_t round, size_t question) {
  const auto count = int64_t(unit.models.size()), prompts = int64_t(request.prompts.size());
  const int64_t screen = unit.number + round * prompts;
  const int64_t turn = prompts % count == 0 ? unit.number + round : screen;
  // In rankings each cycle of screens has an order of its own, so that neighbours differ, too.
  const uint64_t cycle = count > 2 ? uint64_t(screen / count) : 0;
  const RandomKey key{request.seed, (uint64_t(unit.group) << 40 | cycle) * 8 + kFirstSide, Purpose::kStudy};
  const auto order = permutation(key, count);
  std::vector<int> models;
  for (int64_t at = 0; at < count; ++at)
    models.push_back(unit.models[size_t(order[size_t((at + turn + int64_t(question)) % count)])]);
  return models;
}

RandomKey key_of(const MakeRequest& request, int64_t person, size_t question, Stream stream) {
  return {request.seed, (uint64_t(person) * 4 + question + 1) << 44 | stream, Purpose::kStudy};
}

struct Shown {
  Trial trial;
  int64_t number = -1;     // of the trial among those without checks, from which repeats are known
  int64_t repeat_of = -1;  // number
};

Shown degraded(const MakeRequest& request, const Trial& of, const RandomKey& key, int64_t number) {
  Shown shown{.trial = of};
  shown.trial.check = Check::kDegraded;
  const auto chosen = size_t(uniform_below(key, of.models.size(), uint64_t(number)));
  shown.trial.of = int64_t(chosen);
  if (request.design == Design::kPairs)  // the same image twice, of which one is destroyed
    shown.trial.models.assign(of.models.size(), of.models[chosen]);
  return shown;
}

// The screens of one question: the comparisons in a random order; repeats in the last third, of screens in the first
// half; destroyed images anywhere.
std::vector<Shown> with_checks(const MakeRequest& request, std::vector<Trial> trials, int64_t person,
                               size_t question) {
  const auto count = int64_t(trials.size());
  const auto key = [&](Stream stream) { return key_of(request, person, question, stream); };
  std::vector<Shown> shown;
  for (const int64_t at : permutation(key(kOrder), count))
    shown.push_back({trials[size_t(at)], int64_t(shown.size())});
  const std::vector<Shown> base = shown;
  const int64_t half = count / 2, repeats = std::min(request.repeats, half);
  const auto repeated = permutation(key(kCheckChoice), std::max<int64_t>(half, 1));
  uint64_t drawn = 0;
  const auto insert = [&](Shown one, int64_t first) {
    const int64_t place =
        first + int64_t(uniform_below(key(kCheckPlace), shown.size() + 1 - size_t(first), drawn++));
    shown.insert(shown.begin() + place, std::move(one));
  };
  for (int64_t i = 0; i < repeats; ++i) {
    Shown one = base[size_t(repeated[size_t(i)])];
    one.repeat_of = std::exchange(one.number, -1);
    one.trial.check = Check::kRepeat;
    std::ranges::reverse(one.trial.models);
    insert(std::move(one), std::max(half, count * 2 / 3));
  }
  const auto destroyed = permutation(key(kDegradedModel), count);
  for (int64_t i = 0; i < std::min(request.degraded, count); ++i)
    insert(degraded(request, base[size_t(destroyed[size_t(i)])].trial, key(kDegradedModel), count + i), 0);
  return shown;
}

void append(std::vector<Trial>& trials, const std::vector<Shown>& shown) {
  std::map<int64_t, int64_t> places;  // by number
  for (const auto& one : shown) {
    if (one.number >= 0) places[one.number] = int64_t(trials.size());
    trials.push_back(one.trial);
    if (one.repeat_of >= 0) trials.back().of = places.at(one.repeat_of);
  }
}

std::string person_name(int64_t person, int64_t people) {
  const size_t digits = std::max<size_t>(2, std::to_string(people).size());
  return fmt::format("p{:0{}}", person + 1, digits);
}

}  // namespace

// The comparisons in one order, `seen` times in a row, are cut into equal parts: no part is longer than the order,
// so no person sees a comparison twice.
std::vector<Person> assign(const MakeRequest& request) {
  const auto units = units_of(request);
  const auto count = int64_t(units.size()), total = count * request.seen;
  std::vector<Person> people;
  for (int64_t p = 0; p < request.people; ++p) {
    Person person{.name = person_name(p, request.people)};
    const int64_t begin = p * total / request.people, end = (p + 1) * total / request.people;
    for (size_t q = 0; q < request.questions.size(); ++q) {
      std::vector<Trial> trials;
      for (int64_t i = begin; i < end; ++i) {
        const Unit& unit = units[size_t(i % count)];
        trials.push_back({request.questions[q], unit.prompt, placed(request, unit, i / count, q)});
      }
      append(person.trials, with_checks(request, std::move(trials), p, q));
    }
    people.push_back(std::move(person));
  }
  return people;
}

std::string image_name(const Study& study, uint64_t seed, int64_t prompt, int model, bool is_degraded) {
  constexpr size_t kHexDigits = 16;
  const auto text = fmt::format("{} {} {} {} {}", seed, study.id, prompt, model, is_degraded);
  return formats::sha256(text).substr(0, kHexDigits);
}

}  // namespace pixart::study
