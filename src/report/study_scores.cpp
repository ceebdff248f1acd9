#include "pixart/report/study_scores.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "parts.h"
#include "pixart/base/utf8.h"

namespace pixart::report {
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr const char* kStudyKind = "pixart study scores";
constexpr int kDeepestStudy = 8, kVersion = 1;
constexpr size_t kMost = 1000;  // entries of a list that are shown

ordered_json json_of(const Interval& interval) { return {interval.low, interval.high}; }

ordered_json json_of(const StudyQuestion& question) {
  ordered_json models = ordered_json::array(), pairs = ordered_json::array();
  for (const auto& model : question.models)
    models.push_back({{"name", model.name},
                      {"preferred", model.preferred},
                      {"preferred_interval", json_of(model.preferred_interval)},
                      {"strength", model.strength},
                      {"strength_interval", json_of(model.strength_interval)},
                      {"ranks", model.ranks}});
  for (const auto& pair : question.pairs)
    pairs.push_back({{"a", pair.a},
                     {"b", pair.b},
                     {"a_better", pair.a_better},
                     {"b_better", pair.b_better},
                     {"equal", pair.equal},
                     {"preference", pair.preference},
                     {"interval", json_of(pair.interval)}});
  return {{"question", question.question},
          {"answers", question.answers},
          {"cannot_tell", question.cannot_tell},
          {"agreement", question.agreement ? ordered_json(*question.agreement) : ordered_json()},
          {"models", models},
          {"pairs", pairs}};
}

// --- reading: throws json::exception where a part is missing or of another type

double number(const json& fields, const char* name) {
  const double value = fields.at(name).get<double>();
  if (!std::isfinite(value)) throw json::other_error::create(501, "a number that is not finite", nullptr);
  return value;
}

Interval interval_of(const json& fields, const char* name) {
  const auto ends = fields.at(name).get<std::vector<double>>();
  if (ends.size() != 2 || !std::isfinite(ends[0] + ends[1]))
    throw json::other_error::create(501, "an interval without two ends", nullptr);
  return {ends[0], ends[1]};
}

const json& list(const json& fields, const char* name) {
  const json& found = fields.at(name);
  if (!found.is_array() || found.size() > kMost)
    throw json::other_error::create(501, "a wrong list", nullptr);
  return found;
}

StudyQuestion question_of(const json& fields) {
  StudyQuestion question{.question = fields.at("question").get<std::string>(),
                         .answers = fields.at("answers").get<int64_t>(),
                         .cannot_tell = fields.at("cannot_tell").get<int64_t>()};
  if (!fields.at("agreement").is_null()) question.agreement = number(fields, "agreement");
  for (const auto& one : list(fields, "models"))
    question.models.push_back({.name = one.at("name").get<std::string>(),
                               .preferred = number(one, "preferred"),
                               .preferred_interval = interval_of(one, "preferred_interval"),
                               .strength = number(one, "strength"),
                               .strength_interval = interval_of(one, "strength_interval"),
                               .ranks = one.at("ranks").get<std::vector<double>>()});
  for (const auto& one : list(fields, "pairs"))
    question.pairs.push_back({.a = one.at("a").get<std::string>(),
                              .b = one.at("b").get<std::string>(),
                              .a_better = number(one, "a_better"),
                              .b_better = number(one, "b_better"),
                              .equal = number(one, "equal"),
                              .preference = number(one, "preference"),
                              .interval = interval_of(one, "interval")});
  return question;
}

StudyScores scores_of(const json& content) {
  StudyScores scores{.study = content.at("study").get<std::string>(),
                     .title = content.at("title").get<std::string>(),
                     .design = content.at("design").get<std::string>(),
                     .people = content.at("people").get<int64_t>(),
                     .used = content.at("used").get<int64_t>(),
                     .prompts = content.at("prompts").get<int64_t>(),
                     .replicates = content.at("replicates").get<int64_t>()};
  for (const auto& one : list(content, "questions")) scores.questions.push_back(question_of(one));
  for (const auto& one : list(content, "excluded"))
    scores.excluded.push_back(
        {one.at("person").get<std::string>(), one.at("reasons").get<std::vector<std::string>>()});
  scores.rules = content.at("rules").get<std::vector<std::string>>();
  return scores;
}

}  // namespace

std::string study_json(const StudyScores& scores) {
  ordered_json questions = ordered_json::array(), excluded = ordered_json::array();
  for (const auto& question : scores.questions) questions.push_back(json_of(question));
  for (const auto& one : scores.excluded)
    excluded.push_back({{"person", one.person}, {"reasons", one.reasons}});
  const ordered_json content = {
      {"kind", kStudyKind},     {"version", kVersion},       {"study", scores.study},
      {"title", scores.title},  {"design", scores.design},   {"people", scores.people},
      {"used", scores.used},    {"prompts", scores.prompts}, {"replicates", scores.replicates},
      {"questions", questions}, {"excluded", excluded},      {"rules", scores.rules}};
  return content.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::optional<StudyScores> parse_study_scores(const std::string& text) {
  bool is_deep = false;
  const auto content = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        is_deep = is_deep || depth > kDeepestStudy;
        return !is_deep;
      },
      /*allow_exceptions=*/false);
  if (is_deep || !content.is_object() || content.value("kind", json()) != kStudyKind) return std::nullopt;
  try {
    return scores_of(content);
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

void require_own_study(const std::filesystem::path& folder) {
  constexpr std::string_view kCommand = "pixart study score", kPreferred = "<figcaption>Preferred by ";
  require_own_page(folder / "study.json", {kStudyKind}, kCommand, "result");
  require_own_page(folder / "study.html", {kPreferred}, kCommand);
}

}  // namespace pixart::report
