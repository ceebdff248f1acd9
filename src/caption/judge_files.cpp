#include "judge_files.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"

namespace pixart::caption {
using nlohmann::ordered_json;

namespace {

constexpr const char* kCardKind = "pixart judge, 1";  // the number changes with the meaning of a value

std::string dumped(const ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json json_of(const Result& answer) {
  const AnswerRecord record = answer_record(answer.text);
  ordered_json json = {{"text", record.text}};
  if (!record.raw.empty()) json["raw"] = record.raw;
  for (const auto& [token, logprob] : record.tokens) json["tokens"].push_back({token, logprob});
  json["model"] = answer.model;
  if (!answer.reason.empty()) json["reason"] = answer.reason;
  if (!answer.reason.empty()) json["detail"] = answer.detail;
  json["attempts"] = answer.attempts;
  return json;
}

std::string_view word_of_state(Counts counts) {
  return counts == Counts::kYes ? "yes" : counts == Counts::kNo ? "no" : "unknown";
}

ordered_json line_of(const Judged& judged, size_t i, const std::vector<Counts>& counts) {
  const Question& question = judged.set.questions[i];
  const Verdict& verdict = judged.verdicts[i];
  ordered_json line = {{"image", judged.keys[size_t(question.row)]},
                       {"part", question.part},
                       {"id", question.id},
                       {"question", question.text},
                       {"category", question.category},
                       {"depends", ordered_json::array()}};
  for (const size_t parent : question.parents) line["depends"].push_back(judged.set.questions[parent].id);
  if (verdict.state == VerdictState::kAnswered) {
    line["answer"] = verdict.label;
    line["value"] = verdict.value;
    if (!judged.set.has_scores && judged.options.samples == 0) line["mass"] = verdict.mass;
  } else {
    line["answer"] = nullptr;
    line["reason"] = verdict.reason;
    line["detail"] = verdict.detail;
  }
  if (!counts.empty()) line["counts"] = word_of_state(counts[i]);
  line["answers"] = ordered_json::array();
  for (const auto& answer : judged.answers[i]) line["answers"].push_back(json_of(answer));
  return line;
}

ordered_json protocol_of(const Judged& judged) {
  const JudgeOptions& options = judged.options;
  ordered_json protocol = {{"protocol", word_of(options.protocol)},
                           {"model", options.model},
                           {"answered_as", judged.models},
                           {"wording", judged.set.wording}};
  if (!judged.set.has_scores) protocol["instruction"] = options.instruction;
  protocol["questions_sha256"] = judged.questions_sha256;
  protocol["answers"] = judged.set.has_scores  ? "scores"
                        : options.samples == 0 ? "probabilities of the first token"
                                               : fmt::format("{} samples", options.samples);
  protocol["temperature"] = judged.temperature;
  if (judged.top_p) protocol["top_p"] = *judged.top_p;
  protocol["max_tokens"] = judged.max_tokens;
  if (!judged.set.has_scores && options.samples == 0) protocol["least_mass"] = kLeastMass;
  protocol["image"] = {{"longest_side", options.longest_side}, {"parts", std::max(1, options.parts)}};
  protocol["images_fingerprint"] = judged.images_fingerprint;
  return protocol;
}

ordered_json summary_of(const Judged& judged, const JudgeReport& report) {
  ordered_json scores = ordered_json::object();
  for (const auto& own : report.values) {
    scores[own.name] = {{"percent", own.value}, {"count", own.count}};
    if (own.margin) scores[own.name]["margin_95"] = *own.margin;
  }
  return {{"kind", kCardKind},
          {"name", report.name},
          {"scores", scores},
          {"counts",
           {{"images", report.images},
            {"questions", report.questions},
            {"answered", report.answered},
            {"unanswered", report.unanswered},
            {"unanswered_by_reason", report.by_reason},
            {"open", report.open},
            {"items_without_image", report.items_without_image},
            {"prompt_tokens", report.prompt_tokens},
            {"completion_tokens", report.completion_tokens}}},
          {"protocol", protocol_of(judged)},
          {"machine", {{"program", producer()}}}};
}

std::string reason_counts(const std::map<std::string, int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(with_thousands(count) + " " + name);
  return parts.empty() ? "" : " (" + join(parts, ", ") + ")";
}

}  // namespace

JudgeReport report_of(const Judged& judged) {
  const JudgeOptions& options = judged.options;
  JudgeReport report{.name = fmt::format("judge-{} (model {})", word_of(options.protocol),
                                         judged.models.empty() ? options.model : join(judged.models, ", ")),
                     .values = judge_values(options.protocol, judged.set, judged.verdicts)};
  std::set<std::pair<int64_t, int>> images;
  for (size_t i = 0; i < judged.set.questions.size(); ++i) {
    const Question& question = judged.set.questions[i];
    const Verdict& verdict = judged.verdicts[i];
    images.insert({question.row, question.part});
    ++report.questions;
    report.answered += verdict.state == VerdictState::kAnswered ? 1 : 0;
    report.open += verdict.state == VerdictState::kOpen ? 1 : 0;
    if (verdict.state == VerdictState::kUnanswered) ++report.by_reason[verdict.reason];
    for (const auto& answer : judged.answers[i]) {
      report.prompt_tokens += answer.prompt_tokens;
      report.completion_tokens += answer.completion_tokens;
    }
  }
  report.images = int64_t(images.size());
  report.unanswered = report.questions - report.answered - report.open;
  report.items_without_image = judged.set.items_without_image;
  return report;
}

void write_judged(const Judged& judged, const JudgeReport& report,
                  const std::function<std::string(int64_t row, int part)>& thumbnail) {
  const auto counts = judged.set.has_scores ? std::vector<Counts>{} : counted(judged.set, judged.verdicts);
  AtomicFile answers(judged.options.out / kAnswers);
  for (size_t i = 0; i < judged.set.questions.size(); ++i) answers.write(dumped(line_of(judged, i, counts)));
  answers.commit();
  write_file_atomically(judged.options.out / kSummary, dumped(summary_of(judged, report), 2));
  write_file_atomically(judged.options.out / kPage, judge_page(judged, report, thumbnail));
}

std::string describe(const JudgeReport& report) {
  std::string text = fmt::format("{} images, {} questions: {} answered, {} unanswered{}, {} open",
                                 with_thousands(report.images), with_thousands(report.questions),
                                 with_thousands(report.answered), with_thousands(report.unanswered),
                                 reason_counts(report.by_reason), with_thousands(report.open));
  if (report.items_without_image > 0)
    text += fmt::format("; {} items of the file of questions have no image",
                        with_thousands(report.items_without_image));
  return text;
}

std::string describe_values(const JudgeReport& report) {
  std::string text = printable(report.name) + ", percent:\n";
  size_t width = 0;
  for (const auto& own : report.values) width = std::max(width, printable(own.name).size());
  for (const auto& own : report.values)
    text += fmt::format("  {:<{}}  {:6.2f}{}  of {}\n", printable(own.name), width, own.value,
                        own.margin ? fmt::format(" +- {:.2f}", *own.margin) : "", with_thousands(own.count));
  if (report.values.empty()) text += "  no image has all its answers\n";
  return text;
}

}  // namespace pixart::caption
