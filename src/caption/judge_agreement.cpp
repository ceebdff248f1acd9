// How far two judges, or a judge and people, agree.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "judge_files.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/caption/judge.h"
#include "pixart/data/table_rows.h"

namespace pixart::caption {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kLongestLabel = 40, kMostLabels = 101;

using Place = std::tuple<std::string, std::string, std::string>;  // image, part, id
using Answers = std::map<Place, std::string>;
using Pairs = std::map<std::pair<std::string, std::string>, int64_t>;

std::string text_or(const json& fields, const char* name, const std::string& otherwise) {
  const auto found = fields.find(name);
  if (found == fields.end() || found->is_null()) return otherwise;
  if (found->is_string()) return trimmed(found->get<std::string>());
  if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
  return found->is_number() ? found->dump() : std::string();
}

// Rows without an answer are left out.
Answers read_answers(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / kAnswers : path;
  Answers answers;
  Problems problems;
  data::read_rows(file, [&](data::TableRow& row) {
    const std::string place = fmt::format("line {}", row.line);
    const std::string image = text_or(row.fields, "image", ""),
                      answer = ascii_lower(text_or(row.fields, "answer", ""));
    if (!row.fault.empty())
      problems.add(place + ": " + row.fault);
    else if (image.empty())
      problems.add(place + " names no image");
    else if (answer.size() > kLongestLabel)
      problems.add(fmt::format("{} has an answer of {} bytes; at most {} are allowed", place, answer.size(),
                               kLongestLabel));
    else if (!answer.empty() &&
             !answers
                  .emplace(Place(image, text_or(row.fields, "part", "0"), text_or(row.fields, "id", "1")),
                           answer)
                  .second)
      problems.add(place + " answers a question for the second time");
    return true;
  });
  problems.throw_if_any(file.string());
  if (answers.empty()) throw UserError(file.string() + " has no answers.");
  return answers;
}

std::set<std::string> labels_of(const Pairs& pairs) {
  std::set<std::string> labels;
  for (const auto& [pair, count] : pairs) labels.insert({pair.first, pair.second});
  return labels;
}

// The sums of which Cohen's kappa is made. Pairs are added and taken away one by one, without a look at the others.
class KappaSums {
 public:
  explicit KappaSums(const Pairs& pairs) { add(pairs, 1); }

  // `times` -1 takes them away.
  void add(const Pairs& pairs, int64_t times) {
    for (const auto& [pair, count] : pairs) {
      const auto& [a, b] = pair;
      const int64_t change = times * count;
      total_ += change;
      equal_ += a == b ? change : 0;
      by_chance_ += change * second_[a];
      first_[a] += change;
      by_chance_ += change * first_[b];
      second_[b] += change;
    }
  }

  // Nothing where chance alone would explain all.
  std::optional<double> kappa() const {
    const int64_t expected = total_ * total_ - by_chance_;
    if (expected <= 0) return std::nullopt;
    return 1 - double(total_ - equal_) * double(total_) / double(expected);
  }

 private:
  std::map<std::string, int64_t> first_, second_;  // how often each gives an answer
  int64_t total_ = 0, equal_ = 0;
  // The sum over answers of first_ times second_: total_ times the pairs that are equal by chance.
  int64_t by_chance_ = 0;
};

std::optional<double> number_of(const std::string& label) {
  double value = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
  return error == std::errc() && end == label.data() + label.size() && std::isfinite(value)
             ? std::optional(value)
             : std::nullopt;
}

std::optional<double> quadratic_kappa(const Pairs& pairs) {
  for (const auto& label : labels_of(pairs))
    if (!number_of(label)) return std::nullopt;
  std::map<double, double> first, second;
  double total = 0, observed = 0, expected = 0;
  for (const auto& [pair, count] : pairs) {
    const double a = *number_of(pair.first), b = *number_of(pair.second);
    first[a] += double(count);
    second[b] += double(count);
    observed += std::pow(a - b, 2) * double(count);
    total += double(count);
  }
  for (const auto& [a, own] : first)
    for (const auto& [b, other] : second) expected += std::pow(a - b, 2) * own * other / std::max(1.0, total);
  if (!(expected > 0)) return std::nullopt;
  return 1 - observed / expected;
}

// Half of the 95 % interval of kappa, by leaving out one image after the other: answers about one image are alike.
std::optional<double> margin_of(KappaSums sums, const std::map<std::string, Pairs>& by_image) {
  if (by_image.size() < 2) return std::nullopt;
  std::vector<double> values;
  for (const auto& [image, own] : by_image) {
    sums.add(own, -1);
    const auto kappa = sums.kappa();
    sums.add(own, 1);
    if (!kappa) return std::nullopt;
    values.push_back(*kappa);
  }
  const auto n = double(values.size());
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) squares += std::pow(value - mean, 2);
  constexpr double k95 = 1.96;  // standard errors
  return k95 * std::sqrt(squares * (n - 1) / n);
}

}  // namespace

Agreement agreement(const fs::path& first, const fs::path& second) {
  const Answers one = read_answers(first), two = read_answers(second);
  Agreement result;
  std::map<std::string, Pairs> by_image;
  for (const auto& [place, answer] : one) {
    const auto other = two.find(place);
    if (other == two.end()) {
      ++result.only_first;
      continue;
    }
    ++result.compared;
    result.equal += answer == other->second ? 1 : 0;
    ++result.pairs[{answer, other->second}];
    ++by_image[std::get<0>(place)][{answer, other->second}];
  }
  result.only_second = int64_t(two.size()) - result.compared;
  if (result.compared == 0)
    throw UserError(
        fmt::format("{} and {} answer no common question: their image, part and id must be equal.",
                    first.string(), second.string()));
  if (labels_of(result.pairs).size() > kMostLabels)
    throw UserError(
        fmt::format("there are more than {} different answers: are they yes, no or scores?", kMostLabels));
  const KappaSums sums(result.pairs);
  result.kappa = sums.kappa();
  if (result.kappa) result.kappa_margin = margin_of(sums, by_image);
  result.weighted_kappa = quadratic_kappa(result.pairs);
  return result;
}

std::string describe(const Agreement& agreement) {
  std::string text = fmt::format("{} answers compared; {} only in the first, {} only in the second\n",
                                 with_thousands(agreement.compared), with_thousands(agreement.only_first),
                                 with_thousands(agreement.only_second));
  text += fmt::format("equal: {} ({:.1f} %)\n", with_thousands(agreement.equal),
                      100.0 * double(agreement.equal) / double(agreement.compared));
  text += agreement.kappa
              ? fmt::format("Cohen's kappa: {:.3f}{}\n", *agreement.kappa,
                            agreement.kappa_margin ? fmt::format(" +- {:.3f}", *agreement.kappa_margin) : "")
              : "Cohen's kappa: not defined, because all answers are the same\n";
  if (agreement.weighted_kappa)
    text += fmt::format("kappa with quadratic weights: {:.3f}\n", *agreement.weighted_kappa);
  for (const auto& [pair, count] : agreement.pairs)
    text +=
        fmt::format("  {} / {}: {}\n", printable(pair.first), printable(pair.second), with_thousands(count));
  return text;
}

}  // namespace pixart::caption
