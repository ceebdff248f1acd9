#include <algorithm>
#include <map>

#include "judge_files.h"
#include "pixart/base/html.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::caption {

namespace {

constexpr std::string_view kStyle = R"css(
.judged { display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: 1rem; padding: 1rem 0;
  border-bottom: 1px solid var(--line); }
.judged img { max-width: 100%; height: auto; }
.judged td { overflow-wrap: anywhere; }
@media (max-width: 640px) { .judged { grid-template-columns: 1fr; } }
)css";

// Longer answers are in answers.jsonl.
std::string cut(const std::string& text, size_t most) {
  return text.size() <= most ? text : replace_invalid_utf8(text.substr(0, most)) + " ...";
}

std::string said(const Judged& judged, size_t i) {
  constexpr size_t kMost = 300;
  std::vector<std::string> texts;
  for (const auto& answer : judged.answers[i]) texts.push_back(answer_record(answer.text).text);
  return cut(join(texts, " | "), kMost);
}

std::string row_of(const Judged& judged, size_t i) {
  const Verdict& verdict = judged.verdicts[i];
  const bool is_answered = verdict.state == VerdictState::kAnswered;
  const std::string value = !is_answered            ? ""
                            : judged.set.has_scores ? fmt::format("{:.0f} %", verdict.value)
                                                    : fmt::format("{:.2f}", verdict.value);
  const std::string answer = is_answered                            ? verdict.label
                             : verdict.state == VerdictState::kOpen ? "open"
                                                                    : "unanswered: " + verdict.reason;
  constexpr size_t kMost = 400;
  return fmt::format(
      "<tr{}><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td><td class=\"note\">{}</td></tr>\n",
      is_answered ? "" : " class=\"other\"", html_escaped(cut(judged.set.questions[i].text, kMost)),
      html_escaped(answer), value, html_escaped(said(judged, i)));
}

std::string values_table(const JudgeReport& report) {
  std::string html =
      "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">value</th><th scope=\"col\" "
      "class=\"number\">percent</th><th scope=\"col\" class=\"number\">95 %</th><th scope=\"col\" "
      "class=\"number\">of</th></tr></thead>\n<tbody>\n";
  for (const auto& own : report.values)
    html += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{:.2f}</td><td class=\"number\">{}</td><td "
        "class=\"number\">{}</td></tr>\n",
        html_escaped(own.name), own.value, own.margin ? fmt::format("&plusmn; {:.2f}", *own.margin) : "",
        with_thousands(own.count));
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string judge_page(const Judged& judged, const JudgeReport& report,
                       const std::function<std::string(int64_t row, int part)>& thumbnail) {
  std::map<std::pair<int64_t, int>, std::vector<size_t>> by_image;
  for (size_t i = 0; i < judged.set.questions.size(); ++i)
    by_image[{judged.set.questions[i].row, judged.set.questions[i].part}].push_back(i);
  std::string body =
      fmt::format("<h1>{}</h1>\n<p>{}</p>\n", html_escaped(report.name), html_escaped(describe(report))) +
      values_table(report);
  const auto num_images = int64_t(by_image.size());
  const int64_t shown = std::min(num_images, judged.options.page_images);
  body += fmt::format(
      "<p class=\"note\">Answers of a model, not a published metric. {} of {} images; all answers are in "
      "{}.</p>\n",
      shown, num_images, kAnswers);
  int64_t number = 0;
  for (const auto& [place, questions] : by_image) {
    // Evenly over the set.
    const bool is_shown = (number + 1) * shown / num_images > number * shown / num_images;
    ++number;
    if (!is_shown) continue;
    const std::string jpeg = thumbnail(place.first, place.second);
    const std::string name = html_escaped(judged.keys[size_t(place.first)]);
    body += "<section class=\"judged\"><figure>";
    if (!jpeg.empty()) body += fmt::format("<img src=\"{}\" alt=\"{}\">", data_url("image/jpeg", jpeg), name);
    body += fmt::format(
        "<figcaption class=\"note\">{}{}</figcaption></figure>\n<div class=\"scroll\"><table><tbody>\n", name,
        place.second > 0 ? fmt::format(", part {}", place.second) : "");
    for (const size_t i : questions) body += row_of(judged, i);
    body += "</tbody></table></div></section>\n";
  }
  return html_page(report.name, body, kStyle);
}

}  // namespace pixart::caption
