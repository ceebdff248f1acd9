// The scores of a user study as HTML.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "page_style.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/report/study_scores.h"
#include "sections.h"

namespace pixart::report {
namespace {

constexpr double kShareWidth = 440, kQuestionRow = 40, kShareHeight = 14, kShareAxis = 22;

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string percent(const Interval& interval) {
  return fmt::format("{:.1f} to {:.1f} %", 100 * interval.low, 100 * interval.high);
}

double clamped(double share) { return std::clamp(share, 0.0, 1.0); }

std::string grid_svg(double bottom) {
  std::string svg;
  for (const int at : {0, 25, 50, 75, 100}) {
    const double x = 2 + (kShareWidth - 4) * at / 100;
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"0\" y2=\"{1:.1f}\"/>\n<text class=\"soft\" "
        "x=\"{0:.1f}\" y=\"{2:.1f}\" text-anchor=\"{3}\">{4} %</text>\n",
        x, bottom, bottom + 16,
        at == 0     ? "start"
        : at == 100 ? "end"
                    : "middle",
        at);
  }
  return svg;
}

// The share with which each model is preferred, with its interval as a line.
std::string bars_svg(const StudyQuestion& question) {
  const double bottom = kQuestionRow * double(question.models.size()) + 2;
  const auto x = [](double share) { return 2 + (kShareWidth - 4) * clamped(share); };
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Preferred: {}\">\n{}", kShareWidth,
                  bottom + kShareAxis, html_escaped(question.question), grid_svg(bottom));
  for (size_t i = 0; i < question.models.size(); ++i) {
    const auto& model = question.models[i];
    const double y = kQuestionRow * double(i), middle = y + 19 + kShareHeight / 2;
    svg += fmt::format(
        "<text x=\"4\" y=\"{:.1f}\">{}: {}</text>\n<rect class=\"bar-{}\" x=\"2\" y=\"{:.1f}\" width=\"{:.1f}\" "
        "height=\"{}\"/>\n<line class=\"axis\" stroke-width=\"2\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" "
        "y2=\"{:.1f}\"/>\n",
        y + 14, html_escaped(model.name), percent(model.preferred), i % kNumSeriesColours, y + 19,
        std::max(1.0, x(model.preferred) - 2), kShareHeight, x(model.preferred_interval.low),
        x(model.preferred_interval.high), middle, middle);
  }
  return svg + "</svg>\n";
}

std::string models_table(const StudyQuestion& question, bool is_ranking) {
  Table table{
      .head = {"model", "preferred", "95 %", "strength", "95 %"}, .rows = {}, .numbers = 4, .cards = true};
  const size_t ranks = is_ranking ? question.models.size() : 0;
  for (size_t rank = 0; rank < ranks; ++rank) table.head.push_back(fmt::format("rank {}", rank + 1));
  table.numbers += ranks;
  for (const auto& model : question.models) {
    Cells row = {
        model.name, percent(model.preferred), percent(model.preferred_interval),
        fmt::format("{:+.2f}", model.strength),
        fmt::format("{:+.2f} to {:+.2f}", model.strength_interval.low, model.strength_interval.high)};
    for (size_t rank = 0; rank < ranks; ++rank)
      row.push_back(rank < model.ranks.size() ? fmt::format("{:.0f} %", 100 * model.ranks[rank]) : "");
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

std::string pairs_table(const StudyQuestion& question) {
  Table table{.head = {"comparison", "first better", "second better", "equal", "first preferred", "95 %"},
              .rows = {},
              .numbers = 5,
              .cards = true};
  for (const auto& pair : question.pairs)
    table.rows.push_back({pair.a + " and " + pair.b, fmt::format("{:g}", pair.a_better),
                          fmt::format("{:g}", pair.b_better), fmt::format("{:g}", pair.equal),
                          percent(pair.preference), percent(pair.interval)});
  return table_html(table);
}

std::string question_html(const StudyQuestion& question, bool is_ranking) {
  const std::string agreement = question.agreement ? fmt::format("{:.3f}", *question.agreement) : "not known";
  return fmt::format(
             "<figure class=\"chart\"><figcaption>Preferred by {} <span>({} answers)</span></figcaption>\n{}</figure>\n",
             html_escaped(question.question), with_thousands(question.answers), bars_svg(question)) +
         models_table(question, is_ranking) + details("Each two models", pairs_table(question)) +
         note(fmt::format(
             "Cannot tell: {} more answers. Agreement (Krippendorff's alpha, 1 is perfect, 0 is chance): {}.",
             with_thousands(question.cannot_tell), agreement));
}

std::string excluded_html(const StudyScores& scores) {
  std::string html;
  for (const auto& rule : scores.rules) html += note(rule);
  if (scores.excluded.empty()) return details("Nobody is excluded", html);
  Table table{.head = {"person", "excluded because"}, .rows = {}};
  for (const auto& one : scores.excluded) table.rows.push_back({one.person, join(one.reasons, "; ")});
  return details(fmt::format("{} excluded", scores.excluded.size()), table_html(table) + html);
}

bool has_rankings(const StudyScores& scores) {
  return std::ranges::any_of(scores.questions, [](const auto& question) {
    return !question.models.empty() && question.models.front().ranks.size() > 2;
  });
}

}  // namespace

std::string study_html(const StudyScores& scores) {
  std::string html = "<div class=\"charts\">\n";
  for (const auto& question : scores.questions)
    html += "<div>" + question_html(question, has_rankings(scores)) + "</div>\n";
  return html + "</div>\n" +
         note(fmt::format(
             "{} of {} people, {} prompts. {} Intervals: 95 %, from {} resamplings of people "
             "and prompts; they are rather too wide than too narrow. Strengths: Bradley-Terry, natural "
             "logarithm, mean 0.",
             with_thousands(scores.used), with_thousands(scores.people), with_thousands(scores.prompts),
             has_rankings(scores) ? "Preferred: share of screens on which the model is first."
                                  : "Preferred: share of its comparisons that the model won, ties half.",
             with_thousands(scores.replicates))) +
         excluded_html(scores);
}

std::string studies_of(const RunRecord& run) {
  std::string html;
  for (const auto& study : run.studies)
    html += "<h3>" + html_escaped("Study: " + study.title) + "</h3>\n" + note(study.file) + study_html(study);
  return html;
}

std::string study_page(const StudyScores& scores, const std::string& made) {
  const std::string body = "<header>\n<h1>" + html_escaped(scores.title) + "</h1>\n</header>\n<main>\n" +
                           study_html(scores) + "</main>\n<footer>" + note(made) + "</footer>\n";
  return replace_invalid_utf8(html_page(scores.title, body, kPageStyle));
}

}  // namespace pixart::report
