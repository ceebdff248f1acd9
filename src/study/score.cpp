#include "pixart/study/score.h"

#include <algorithm>
#include <cmath>

#include "answers.h"
#include "exclusions.h"
#include "pixart/base/names.h"
#include "pixart/base/random.h"
#include "plan.h"
#include "statistics.h"

namespace pixart::study {
namespace {

// What one answer says of two models: the share of `first` is 1, 0.5 (a tie) or 0.
struct Judgement {
  size_t first = 0, second = 0;  // first < second
  double share = 0;
};

// An answer to a question about a prompt, with the judgements that it implies.
struct Screen {
  size_t person = 0, prompt = 0;
  std::vector<Judgement> judgements = {};
  std::vector<std::pair<size_t, double>> ranks = {};  // of models, from 1; ties have the mean of their ranks
};

struct Data {
  size_t models = 0, people = 0, prompts = 0;
  bool is_ranking = false;
  std::vector<Screen> screens = {};
  int64_t cannot_tell = 0;
};

Screen screen_of(const Trial& trial, const Answer& answer, size_t person) {
  const size_t count = trial.models.size();
  const auto ranks = ranks_of(answer, count);
  Screen screen{.person = person, .prompt = size_t(trial.prompt)};
  for (size_t i = 0; i < count; ++i) {
    const auto ties = std::ranges::count(ranks, ranks[i]);
    screen.ranks.emplace_back(trial.models[i], double(ranks[i]) + double(ties + 1) / 2);
    for (size_t j = 0; j < count; ++j)
      if (trial.models[i] < trial.models[j])
        screen.judgements.push_back({size_t(trial.models[i]), size_t(trial.models[j]),
                                     ranks[i] == ranks[j]  ? 0.5
                                     : ranks[i] < ranks[j] ? 1.0
                                                           : 0.0});
  }
  return screen;
}

// The answers of people who are used, without checks.
Data data_of(const Study& study, Question question, const Answers& answers,
             const std::vector<std::string>& used) {
  Data data{.models = study.models.size(),
            .people = study.people.size(),
            .prompts = study.prompts.size(),
            .is_ranking = study.design == Design::kRanking};
  for (size_t p = 0; p < study.people.size(); ++p) {
    const Person& person = study.people[p];
    if (!contains(used, person.name)) continue;
    for (const auto& [number, answer] : answers.at(person.name)) {
      const Trial& trial = person.trials[size_t(number)];
      if (trial.question != question || trial.check != Check::kNone) continue;
      if (answer.order.empty())
        ++data.cannot_tell;
      else
        data.screens.push_back(screen_of(trial, answer, p));
    }
  }
  return data;
}

struct Estimates {
  Games games;
  std::vector<double> preferred, strength;
};

// `weight_of(screen)`: how often a screen counts.
template <class Weight>
Estimates estimate(const Data& data, Weight weight_of) {
  Estimates result{
      .games = Games(data.models), .preferred = std::vector<double>(data.models), .strength = {}};
  std::vector<double> seen(data.models);
  for (const auto& screen : data.screens) {
    const double weight = weight_of(screen);
    if (weight == 0) continue;
    for (const auto& one : screen.judgements) {
      result.games.at(one.first, one.second) += weight * one.share;
      result.games.at(one.second, one.first) += weight * (1 - one.share);
    }
    const double best =
        std::ranges::min_element(screen.ranks, {}, [](auto& one) { return one.second; })->second;
    const auto ties = std::ranges::count_if(screen.ranks, [&](auto& one) { return one.second == best; });
    for (const auto& [model, rank] : screen.ranks) {
      seen[model] += weight;
      if (rank == best) result.preferred[model] += weight / double(ties);
    }
  }
  for (size_t i = 0; i < data.models; ++i)
    result.preferred[i] = seen[i] > 0 ? result.preferred[i] / seen[i] : 0.5;
  result.strength = bradley_terry(result.games);
  return result;
}

double preference_of(const Games& games, size_t a, size_t b) {
  const double total = games.at(a, b) + games.at(b, a);
  return total > 0 ? games.at(a, b) / total : 0.5;
}

// How often each of `among` is drawn, in as many draws.
std::vector<double> drawn(const RandomKey& key, const std::vector<size_t>& among, size_t size) {
  std::vector<double> counts(size);
  for (size_t i = 0; i < among.size(); ++i) ++counts[among[uniform_below(key, among.size(), i)]];
  return counts;
}

template <class Member>
std::vector<size_t> occurring(const Data& data, size_t size, Member member) {
  std::vector<bool> occurs(size);
  for (const auto& screen : data.screens) occurs[screen.*member] = true;
  std::vector<size_t> places;
  for (size_t i = 0; i < size; ++i)
    if (occurs[i]) places.push_back(i);
  return places;
}

std::vector<Estimates> bootstrap(const Data& data, const ScoreOptions& options) {
  const auto people = occurring(data, data.people, &Screen::person);
  const auto prompts = occurring(data, data.prompts, &Screen::prompt);
  std::vector<Estimates> replicates;
  for (int64_t r = 0; r < options.replicates; ++r) {
    const auto of_person = drawn({options.seed, uint64_t(2 * r), Purpose::kStudy}, people, data.people);
    const auto of_prompt = drawn({options.seed, uint64_t(2 * r + 1), Purpose::kStudy}, prompts, data.prompts);
    replicates.push_back(estimate(
        data, [&](const Screen& screen) { return of_person[screen.person] * of_prompt[screen.prompt]; }));
  }
  return replicates;
}

template <class Value>
report::Interval interval_of(const std::vector<Estimates>& replicates, Value value) {
  constexpr double kLow = 0.025, kHigh = 0.975;
  std::vector<double> values;
  for (const auto& one : replicates) values.push_back(value(one));
  return {quantile(values, kLow), quantile(values, kHigh)};
}

// Pairs: which image was better, as names. Rankings: the ranks of each model, in order.
std::optional<double> agreement_of(const Data& data) {
  std::map<std::vector<size_t>, std::vector<double>> units;
  for (const auto& screen : data.screens) {
    if (data.is_ranking)
      for (const auto& [model, rank] : screen.ranks) units[{screen.prompt, model}].push_back(rank);
    else
      for (const auto& one : screen.judgements)
        units[{screen.prompt, one.first, one.second}].push_back(one.share);
  }
  std::vector<std::vector<double>> values;
  for (const auto& [unit, given] : units) values.push_back(given);
  return krippendorff_alpha(values, data.is_ranking ? Metric::kOrdinal : Metric::kNominal);
}

// A tie of ranks 2 and 3, whose mean is 2.5, counts half for each.
std::vector<double> rank_shares(const Data& data, size_t model) {
  const size_t count = data.is_ranking ? data.models : 2;
  std::vector<double> shares(count);
  double total = 0;
  for (const auto& screen : data.screens)
    for (const auto& [own, rank] : screen.ranks) {
      if (own != model) continue;
      const double mean = rank;
      const auto ties = std::ranges::count_if(screen.ranks, [&](auto& one) { return one.second == mean; });
      const auto first = std::llround(mean - double(ties - 1) / 2) - 1;
      for (auto r = first; r < first + ties; ++r) shares[size_t(r)] += 1 / double(ties);
      ++total;
    }
  for (auto& share : shares) share = total > 0 ? share / total : 0;
  return shares;
}

report::StudyPair pair_of(const Data& data, const Study& study, size_t a, size_t b, const Estimates& all,
                          const std::vector<Estimates>& replicates) {
  report::StudyPair pair{
      .a = study.models[a], .b = study.models[b], .preference = preference_of(all.games, a, b)};
  pair.interval =
      interval_of(replicates, [&](const Estimates& one) { return preference_of(one.games, a, b); });
  for (const auto& screen : data.screens)
    for (const auto& one : screen.judgements)
      if (one.first == a && one.second == b) {
        pair.a_better += one.share == 1;
        pair.b_better += one.share == 0;
        pair.equal += one.share == 0.5;
      }
  return pair;
}

report::StudyQuestion scores_of(const Study& study, Question question, const Data& data,
                                const ScoreOptions& options) {
  const Estimates all = estimate(data, [](const Screen&) { return 1.0; });
  const auto replicates = bootstrap(data, options);
  report::StudyQuestion scores{.question = word_of(question),
                               .answers = int64_t(data.screens.size()),
                               .cannot_tell = data.cannot_tell,
                               .agreement = agreement_of(data)};
  for (size_t i = 0; i < data.models; ++i) {
    scores.models.push_back(
        {.name = study.models[i],
         .preferred = all.preferred[i],
         .preferred_interval =
             interval_of(replicates, [&](const Estimates& one) { return one.preferred[i]; }),
         .strength = all.strength[i],
         .strength_interval = interval_of(replicates, [&](const Estimates& one) { return one.strength[i]; }),
         .ranks = rank_shares(data, i)});
    for (size_t j = i + 1; j < data.models; ++j)
      scores.pairs.push_back(pair_of(data, study, i, j, all, replicates));
  }
  return scores;
}

}  // namespace

Scored score_study(const std::filesystem::path& key, const std::vector<std::filesystem::path>& answers,
                   const ScoreOptions& options) {
  const Study study = read_key(key);
  auto collected = read_answers(answers, shape_of(study));
  Scored scored{.scores = {.study = study.id, .title = study.title, .design = word_of(study.design)},
                .remarks = std::move(collected.remarks)};
  std::vector<std::string> used;
  for (const auto& person : study.people) {
    const auto own = collected.answers.find(person.name);
    if (own == collected.answers.end()) continue;  // was not asked, or sent nothing
    auto reasons = reasons_to_exclude(person, own->second, collected.contradicted[person.name], options);
    if (reasons.empty())
      used.push_back(person.name);
    else
      scored.scores.excluded.push_back({person.name, std::move(reasons)});
  }
  scored.scores.people = int64_t(collected.answers.size()), scored.scores.used = int64_t(used.size());
  scored.scores.prompts = int64_t(study.prompts.size()), scored.scores.replicates = options.replicates;
  scored.scores.rules = rules_of(options);
  if (collected.answers.empty())
    throw UserError(fmt::format("there is not one answer to the study {} of {} in these files.{}", study.id,
                                key.string(), scored.remarks.empty() ? "" : " " + scored.remarks.front()));
  for (const auto question : study.questions) {
    const Data data = data_of(study, question, collected.answers, used);
    if (data.screens.empty())
      scored.remarks.push_back(fmt::format("nobody's answers about {} can be used", word_of(question)));
    else
      scored.scores.questions.push_back(scores_of(study, question, data, options));
  }
  return scored;
}

}  // namespace pixart::study
