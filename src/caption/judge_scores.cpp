#include "judge_scores.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace pixart::caption {

namespace {

// What becomes of unanswered questions.
enum class Unanswered { kLeftOut, kWorst, kBest };

struct ImageQuestions {
  std::string group, category;
  std::vector<size_t> questions;
};

// Of images whose questions are all asked.
std::vector<ImageQuestions> images_of(const QuestionSet& set, const std::vector<Verdict>& verdicts) {
  std::map<std::pair<int64_t, int>, ImageQuestions> by_image;
  for (size_t i = 0; i < set.questions.size(); ++i) {
    const Question& own = set.questions[i];
    auto& image = by_image[{own.row, own.part}];
    image.group = own.group;
    image.category = own.category;
    image.questions.push_back(i);
  }
  std::vector<ImageQuestions> images;
  for (auto& [place, image] : by_image)
    if (std::none_of(image.questions.begin(), image.questions.end(),
                     [&](size_t i) { return verdicts[i].state == VerdictState::kOpen; }))
      images.push_back(std::move(image));
  return images;
}

class Values {
 public:
  Values(JudgeProtocol protocol, const QuestionSet& set, const std::vector<Verdict>& verdicts)
      : protocol_(protocol),
        set_(set),
        verdicts_(verdicts),
        images_(images_of(set, verdicts)),
        counts_(set.has_scores ? std::vector<Counts>{} : counted(set, verdicts)) {}

  std::vector<JudgeValue> all() const {
    std::vector<JudgeValue> values;
    const auto add = [&](std::optional<JudgeValue> value) {
      if (value && value->count > 0) values.push_back(std::move(*value));
    };
    add(overall("score", Unanswered::kLeftOut));
    const bool is_whole = std::none_of(verdicts_.begin(), verdicts_.end(), [](const Verdict& verdict) {
      return verdict.state == VerdictState::kUnanswered;
    });
    if (!is_whole) add(overall("score_lowest", Unanswered::kWorst));
    if (!is_whole) add(overall("score_highest", Unanswered::kBest));
    if (!set_.has_scores) add(mean_probability());
    for (auto& value :
         is_by_question() ? by_category_of_questions() : by_category_of_images(Unanswered::kLeftOut))
      add(std::move(value));
    return values;
  }

 private:
  bool is_by_question() const {
    return protocol_ != JudgeProtocol::kGenEval && protocol_ != JudgeProtocol::kCompBench;
  }

  // 0 to 1; nothing for a question that is left out.
  std::optional<double> share(size_t i, Unanswered how) const {
    const Verdict& verdict = verdicts_[i];
    const bool is_known =
        set_.has_scores ? verdict.state == VerdictState::kAnswered : counts_[i] != Counts::kUnknown;
    if (is_known) return set_.has_scores ? verdict.value / 100 : counts_[i] == Counts::kYes ? 1.0 : 0.0;
    if (how == Unanswered::kLeftOut) return std::nullopt;
    return how == Unanswered::kBest ? 1.0 : 0.0;
  }

  // Of an image: the mean over its questions, or the product, for which one that is not known is enough to say nothing
  // unless another is zero.
  std::optional<double> value(const ImageQuestions& image, Unanswered how) const {
    double sum = 0, product = 1, known = 0;
    for (const size_t i : image.questions)
      if (const auto own = share(i, how)) {
        sum += *own;
        product *= *own;
        ++known;
      }
    const bool is_whole = known == double(image.questions.size());
    if (!is_by_question()) return is_whole || product == 0 ? std::optional(product) : std::nullopt;
    return known > 0 ? std::optional(sum / known) : std::nullopt;
  }

  // The mean over images, and its error where those of one group are alike.
  template <class Images>
  JudgeValue mean(const std::string& name, const Images& images, Unanswered how) const {
    std::map<std::string, std::pair<double, int64_t>> groups;  // sum, count
    double sum = 0;
    int64_t count = 0;
    for (const ImageQuestions& image : images) {
      const auto own = value(image, how);
      if (!own) continue;
      auto& group = groups[image.group];
      group.first += *own;
      ++group.second;
      sum += *own;
      ++count;
    }
    JudgeValue result{.name = name, .count = count};
    if (count == 0) return result;
    const double m = sum / double(count);
    result.value = 100 * m;
    double squares = 0;
    for (const auto& [group, own] : groups) squares += std::pow(own.first - double(own.second) * m, 2);
    const auto num_groups = double(groups.size());
    constexpr double k95 = 1.96;  // standard errors
    if (num_groups > 1)
      result.margin = 100 * k95 * std::sqrt(squares * num_groups / (num_groups - 1)) / double(count);
    return result;
  }

  std::optional<JudgeValue> overall(const std::string& name, Unanswered how) const {
    if (is_by_question()) return mean(name, images_, how);
    const auto categories = by_category_of_images(how);
    if (categories.size() == 1) {
      JudgeValue only = categories.front();
      only.name = name;
      return only;
    }
    if (protocol_ != JudgeProtocol::kGenEval || categories.empty()) return std::nullopt;
    // As GenEval's program: each task counts the same.
    JudgeValue result{.name = name};
    double squares = 0;
    bool has_margin = true;
    for (const auto& category : categories) {
      result.value += category.value / double(categories.size());
      result.count += category.count;
      has_margin = has_margin && category.margin;
      squares += std::pow(category.margin.value_or(0), 2);
    }
    if (has_margin) result.margin = std::sqrt(squares) / double(categories.size());
    return result;
  }

  std::vector<JudgeValue> by_category_of_images(Unanswered how) const {
    std::map<std::string, std::vector<ImageQuestions>> categories;
    for (const auto& image : images_) categories[image.category].push_back(image);
    std::vector<JudgeValue> values;
    for (const auto& [category, images] : categories)
      values.push_back(mean("category: " + category, images, how));
    std::erase_if(values, [](const JudgeValue& own) { return own.count == 0; });
    return values;
  }

  // DPG-Bench's program counts the answers of a category before dependencies; the user's own questions count with them.
  std::vector<JudgeValue> by_category_of_questions() const {
    const bool is_plain = protocol_ == JudgeProtocol::kDpg;
    std::map<std::string, std::pair<double, int64_t>> categories;
    for (const auto& image : images_)
      for (const size_t i : image.questions) {
        const std::string& category = set_.questions[i].category;
        const auto own = share(i, Unanswered::kLeftOut);
        const bool is_known = is_plain ? verdicts_[i].state == VerdictState::kAnswered : own.has_value();
        if (category.empty() || !is_known) continue;
        auto& [sum, count] = categories[category];
        sum += is_plain ? double(verdicts_[i].is_yes()) : *own;
        ++count;
      }
    std::vector<JudgeValue> values;
    for (const auto& [category, own] : categories)
      values.push_back({.name = "category: " + category,
                        .value = 100 * own.first / double(own.second),
                        .count = own.second});
    return values;
  }

  JudgeValue mean_probability() const {
    JudgeValue result{.name = "probability of yes"};
    double sum = 0;
    for (const auto& image : images_)
      for (const size_t i : image.questions)
        if (verdicts_[i].state == VerdictState::kAnswered) {
          sum += verdicts_[i].value;
          ++result.count;
        }
    if (result.count > 0) result.value = 100 * sum / double(result.count);
    return result;
  }

  const JudgeProtocol protocol_;
  const QuestionSet& set_;
  const std::vector<Verdict>& verdicts_;
  const std::vector<ImageQuestions> images_;
  const std::vector<Counts> counts_;
};

}  // namespace

std::vector<Counts> counted(const QuestionSet& set, const std::vector<Verdict>& verdicts) {
  std::vector<Counts> counts(set.questions.size(), Counts::kUnknown);
  for (const size_t i : set.order) {
    const Verdict& verdict = verdicts[i];
    bool is_no = verdict.state == VerdictState::kAnswered && !verdict.is_yes();
    bool is_unknown = verdict.state != VerdictState::kAnswered;
    for (const size_t parent : set.questions[i].parents) {
      is_no = is_no || counts[parent] == Counts::kNo;
      is_unknown = is_unknown || counts[parent] == Counts::kUnknown;
    }
    counts[i] = is_no ? Counts::kNo : is_unknown ? Counts::kUnknown : Counts::kYes;
  }
  return counts;
}

std::vector<JudgeValue> judge_values(JudgeProtocol protocol, const QuestionSet& set,
                                     const std::vector<Verdict>& verdicts) {
  return Values(protocol, set, verdicts).all();
}

}  // namespace pixart::caption
