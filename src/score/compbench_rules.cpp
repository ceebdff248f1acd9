#include "compbench_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/names.h"
#include "pixart/base/words.h"

namespace pixart::score {
namespace {

using Words = std::vector<std::string>;

constexpr double kMostOverlap = 0.1;  // intersection over union
constexpr double kNearPixels = 150;
constexpr double kLeastScore = 0.5;

bool is_near(const std::string& relation) {
  return contains(Words{"next to", "on side of", "near"}, relation);
}

double overlap_of(const Box& first, const Box& second) {
  const auto &a = first.corners, &b = second.corners;
  const double width = std::max(0.0, std::min(a[2], b[2]) - std::max(a[0], b[0])),
               height = std::max(0.0, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  const double both = width * height;
  const double all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
  return all > 0 ? both / all : 0;
}

// `along` and `across`: the distance in the direction of the relation and the other one.
double direction_score(double along, double across, double overlap) {
  if (along <= 0 || std::abs(along) <= std::abs(across)) return 0;
  return overlap < kMostOverlap ? 1 : kMostOverlap / overlap;
}

const Box* find(const std::vector<Box>& boxes, const std::string& label) {
  const auto found =
      std::find_if(boxes.begin(), boxes.end(), [&](const Box& box) { return box.label == label; });
  return found == boxes.end() ? nullptr : &*found;
}

// UniDet has no labels for them.
std::string label_of(const std::string& noun) {
  return contains(Words{"girl", "boy", "man", "woman"}, noun) ? "person" : noun;
}

bool is_noun(const text::PromptWord& word) { return word.word_class == text::WordClass::kNoun; }
bool is_name(const text::PromptWord& word) { return word.word_class == text::WordClass::kProperNoun; }

}  // namespace

std::vector<std::string> questions_of(const std::vector<std::string>& chunks) {
  static const Words places = {"top", "the side", "the left", "the right"};
  std::vector<std::string> questions;
  for (const auto& chunk : chunks)
    if (!contains(places, chunk) && questions.size() < kMostQuestions) questions.push_back(chunk);
  return questions;
}

double rounded_to_4(double value) { return std::stod(fmt::format("{:.4f}", value)); }

double product_of_answers(const std::vector<double>& probabilities) {
  float product = 1;
  for (const double probability : probabilities) product *= float(rounded_to_4(probability));
  return rounded_to_4(double(product));
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / double(values.size());
}

std::string relation_of(const std::string& prompt) {
  for (const char* relation : {"on side of", "next to", "near", "on the left of", "on the right of",
                               "on the bottom of", "on the top of", "on top of"})
    if (prompt.find(relation) != std::string::npos) return relation;
  return {};
}

double relation_score(const std::string& relation, const Box& first, const Box& second) {
  const auto center = [](const Box& box, size_t axis) {
    return (box.corners[axis] + box.corners[axis + 2]) / 2;
  };
  const double x = center(second, 0) - center(first, 0), y = center(second, 1) - center(first, 1);
  const double overlap = overlap_of(first, second);
  if (is_near(relation)) {
    const bool is_close = std::abs(x) < kNearPixels || std::abs(y) < kNearPixels;
    return is_close ? 1 : kNearPixels / std::max(std::abs(x), std::abs(y));
  }
  if (relation == "on the right of") return direction_score(-x, y, overlap);
  if (relation == "on the left of") return direction_score(x, y, overlap);
  if (relation == "on the bottom of") return direction_score(-y, x, overlap);
  if (relation == "on the top of") return direction_score(y, x, overlap);
  return 0;
}

std::optional<TwoObjects> objects_of(const std::vector<text::PromptWord>& words) {
  const auto first = std::find_if(words.begin(), words.end(), is_noun);
  if (first == words.end()) return std::nullopt;
  const auto last = std::find_if(words.rbegin(), words.rend(), is_noun);
  return TwoObjects{.first = first->text, .second = last->text};
}

namespace {

// The words from i on that are a relation of complex prompts; 0 if they are none.
size_t words_of_relation(const std::string& prompt, const std::vector<text::PromptWord>& words, size_t i) {
  static const Words relations = {"on top of", "on bottom of", "on the left", "on the right",
                                  "next to",   "on side of",   "near"};
  for (size_t count = 3; count > 0; --count) {
    const size_t last = std::min(i + count, words.size()) - 1;
    const size_t end = words[last].begin + words[last].text.size();
    if (contains(relations, prompt.substr(words[i].begin, end - words[i].begin))) return count;
  }
  return 0;
}

// The first noun from word `begin` on, or the last word of the first name that does not end the prompt; null if there is none.
const text::PromptWord* object_from(const std::vector<text::PromptWord>& words, size_t begin) {
  for (size_t i = begin; i < words.size(); ++i)
    if (is_noun(words[i])) return &words[i];
  for (size_t i = begin; i + 1 < words.size(); ++i)
    if (is_name(words[i]) && !is_name(words[i + 1])) return &words[i];
  return nullptr;
}

}  // namespace

std::optional<TwoObjects> objects_around_relation(const std::string& prompt,
                                                  const std::vector<text::PromptWord>& words) {
  std::vector<std::string> objects;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t count = words_of_relation(prompt, words, i);
    if (count == 0) continue;
    for (size_t j = i; j-- > 0;)
      if (is_noun(words[j]) || is_name(words[j])) {
        objects.push_back(words[j].text);
        break;
      }
    if (const auto* after = object_from(words, i + count)) objects.push_back(after->text);
  }
  if (objects.size() != 2) return std::nullopt;
  return TwoObjects{.first = objects[0], .second = objects[1]};
}

double spatial_score(const std::string& prompt, const std::optional<TwoObjects>& objects,
                     const std::vector<Box>& boxes) {
  if (!objects) return 0;
  const Box *first = find(boxes, label_of(objects->first)), *second = find(boxes, label_of(objects->second));
  double score = 0;
  if (first != nullptr) score += 0.25 * first->score;
  if (second != nullptr) score += 0.25 * second->score;
  if (first != nullptr && second != nullptr)
    score += relation_score(relation_of(prompt), *first, *second) / 2;
  return score < kLeastScore ? 0 : score;
}

double three_in_one(ComplexKind kind, double attributes, double spatial, double action) {
  switch (kind) {
    case ComplexKind::kSpatial:
      return (spatial + attributes) * 0.5;
    case ComplexKind::kAction:
      return (action + attributes) * 0.5;
    case ComplexKind::kBoth:
      return (attributes + spatial + action) / 3;
  }
  return 0;
}

std::string comparable_prompt(const std::string& line) { return ascii_lower(line.substr(0, line.find('.'))); }

}  // namespace pixart::score
