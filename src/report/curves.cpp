#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "chart.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "sections.h"

namespace pixart::report {
namespace {

constexpr double kSmoothing = 0.02;  // share of the points
constexpr int kNumBins = 8;
constexpr double kGibibyte = 1024.0 * 1024 * 1024;

// How a key is shown. Values are multiplied by `factor`.
struct Curve {
  std::string key, title, unit = {};
  double factor = 1;
  bool wants_log = false, from_zero = true, is_machine = false;
};

const std::vector<Curve>& small_curves() {
  static const std::vector<Curve> curves = {
      {.key = "gradient_norm", .title = "Gradient norm", .wants_log = true},
      {.key = "lr", .title = "Learning rate"},
      {.key = "images_per_second", .title = "Throughput", .unit = "img/s", .is_machine = true},
      {.key = "data_wait",
       .title = "Waiting for data",
       .unit = "% of time",
       .factor = 100,
       .is_machine = true},
      {.key = "memory_bytes",
       .title = "Memory, peak",
       .unit = "GiB",
       .factor = 1 / kGibibyte,
       .is_machine = true},
      {.key = "mfu", .title = "Model FLOPS utilisation", .unit = "%", .factor = 100, .is_machine = true},
      {.key = "clip_share", .title = "Steps clipped", .unit = "%", .factor = 100, .is_machine = true},
      {.key = "power_watts", .title = "Power", .unit = "W", .is_machine = true},
  };
  return curves;
}

std::string bin_key(int bin) { return fmt::format("validation_loss_t{}", bin); }

const Series* find(const StageRecord& stage, const std::string& key, bool is_machine = false) {
  const auto& all = is_machine ? stage.machine : stage.metrics;
  const auto found = all.find(key);
  return found == all.end() || found->second.empty() ? nullptr : &found->second;
}

std::string loss_chart(const ReportedRun& run, const StageRecord& stage) {
  const Series* loss = find(stage, "loss");
  if (loss == nullptr) return paragraph("No loss is recorded.");
  Chart chart{.title = "Loss",
              .lines = {{.label = "each step", .points = *loss, .style = "series-0", .is_faint = true},
                        {.label = "smoothed", .points = smoothed(*loss, kSmoothing), .style = "series-0"}},
              .wants_log = true,
              .is_large = true};
  const StagePlan* plan = plan_of(run, stage.name);
  if (plan == nullptr) return chart_html(chart);
  for (const auto& band : plan->usual_loss.bands)
    if (band.first_step <= loss->back().x)
      chart.bands.push_back({band.first_step, band.last_step, band.low, band.high});
  chart.band_label = "usual, " + plan->usual_loss.source;
  return chart_html(chart) + (plan->usual_loss.verdict.empty() ? "" : paragraph(plan->usual_loss.verdict));
}

// One note for all stages without a known loss.
std::string unknown_losses(const ReportedRun& run) {
  std::vector<std::string> names;
  for (const auto& stage : run.record.stages) {
    const StagePlan* plan = plan_of(run, stage.name);
    if (plan != nullptr && plan->usual_loss.bands.empty() && find(stage, "loss") != nullptr)
      names.push_back(stage.name);
  }
  if (names.empty()) return "";
  return note(fmt::format("No usual loss is known for the settings of stage{} {}.",
                          names.size() == 1 ? "" : "s", join(names, ", ")));
}

std::string validation_chart(const StageRecord& stage) {
  std::vector<Line> lines;
  if (const Series* live = find(stage, "validation_loss"))
    lines.push_back({.label = "weights in training", .points = *live, .style = "series-0"});
  if (const Series* ema = find(stage, "validation_loss_ema"))
    lines.push_back({.label = "EMA weights", .points = *ema, .style = "series-1"});
  return lines.empty() ? "" : chart_html({.title = "Validation loss", .lines = lines});
}

std::string bins_chart(const StageRecord& stage) {
  constexpr int kTimesteps = 1000;
  std::vector<Line> lines;
  for (int bin = 0; bin < kNumBins; ++bin)
    if (const Series* series = find(stage, bin_key(bin)))
      lines.push_back({.label = fmt::format("t {} to {}", bin * kTimesteps / kNumBins,
                                            (bin + 1) * kTimesteps / kNumBins - 1),
                       .points = *series,
                       .style = fmt::format("bin-{}", bin)});
  return lines.empty()
             ? ""
             : chart_html({.title = "Validation loss by timestep", .lines = lines, .wants_log = true});
}

constexpr std::string_view kMetric = "metric_";  // keys of the scores of drawn images
constexpr const char* kMetricImages = "metric_images";

// "FID (500 images)"; a score without a title here has its name.
std::string score_title(const StageRecord& stage, const std::string& key) {
  static const std::map<std::string, std::string> titles = {{"fid", "FID"},
                                                            {"kid", "KID"},
                                                            {"precision", "Precision"},
                                                            {"recall", "Recall"},
                                                            {"cmmd", "CMMD"},
                                                            {"clip_cosine", "CLIP score, cosine"},
                                                            {"aesthetic", "Aesthetic score"},
                                                            {"pickscore", "PickScore"}};
  const std::string name = key.substr(kMetric.size());
  const auto title = titles.find(name);
  const Series* images = find(stage, kMetricImages);
  const auto count = images == nullptr ? std::nullopt : last_of(*images);
  return (title == titles.end() ? name : title->second) +
         (count ? fmt::format(" ({:.0f} images)", *count) : "");
}

bool is_score(const std::string& key) { return key.starts_with(kMetric) && key != kMetricImages; }

// Scores of drawn images, and what they depend on.
std::string score_charts(const ReportedRun& run, const StageRecord& stage) {
  std::string html;
  for (const auto& [key, series] : stage.metrics)
    if (is_score(key) && !series.empty())
      html += chart_html({.title = score_title(stage, key),
                          .lines = {{.label = "EMA weights", .points = series, .style = "series-0"}}});
  if (html.empty()) return "";
  const StagePlan* plan = plan_of(run, stage.name);
  const std::string settings =
      plan == nullptr || plan->metrics.empty() ? "" : paragraph("Scores: " + plan->metrics + ".");
  return settings + "<div class=\"charts\">\n" + html + "</div>\n";
}

std::string small_chart(const ReportedRun& run, const StageRecord& stage, const Curve& curve) {
  const Series* series = find(stage, curve.key, curve.is_machine);
  if (series == nullptr) return "";
  Chart chart{.title = curve.title,
              .unit = curve.unit,
              .lines = {{.label = curve.title, .points = scaled(*series, curve.factor), .style = "series-0"}},
              .wants_log = curve.wants_log,
              .from_zero = curve.from_zero};
  const StagePlan* plan = plan_of(run, stage.name);
  if (curve.key == "gradient_norm" && plan != nullptr && plan->gradient_clip > 0) {
    chart.mark = plan->gradient_clip;
    chart.mark_label = fmt::format("clipped above {:g}", plan->gradient_clip);
  }
  return chart_html(chart);
}

// Charts of the keys that no other chart shows.
std::string other_charts(const StageRecord& stage) {
  std::set<std::string> shown = {"loss", "validation_loss", "validation_loss_ema"};
  for (const auto& curve : small_curves()) shown.insert(curve.key);
  for (int bin = 0; bin < kNumBins; ++bin) shown.insert(bin_key(bin));
  std::string html;
  for (const auto& [key, series] : stage.metrics)
    if (shown.count(key) == 0 && !key.starts_with(kMetric))
      html += chart_html({.title = key, .lines = {{key, series, "series-0"}}});
  return html.empty() ? "" : details("Other metrics", "<div class=\"charts\">\n" + html + "</div>\n");
}

std::string stage_curves(const ReportedRun& run, const StageRecord& stage) {
  std::string small = validation_chart(stage) + bins_chart(stage);
  for (const auto& curve : small_curves()) small += small_chart(run, stage, curve);
  return "<h3>" + html_escaped(stage.name) + "</h3>\n" + loss_chart(run, stage) + "<div class=\"charts\">\n" +
         small + "</div>\n" + score_charts(run, stage) + other_charts(stage);
}

bool has_curves(const StageRecord& stage) { return !stage.metrics.empty() || !stage.machine.empty(); }

// One key of the same stage in several runs; smoothed if single steps would hide the curves.
std::string common_chart(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                         const std::string& stage_name, const Curve& curve) {
  Chart chart{.title = curve.title,
              .unit = curve.unit,
              .wants_log = curve.wants_log,
              .from_zero = curve.from_zero,
              .is_large = curve.key == "loss"};
  const bool is_noisy = curve.key == "loss" || curve.key == "gradient_norm";
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& stage : runs[i].record.stages) {
      if (stage.name != stage_name) continue;
      if (const Series* series = find(stage, curve.key, curve.is_machine))
        chart.lines.push_back({.label = names[i],
                               .points = smoothed(scaled(*series, curve.factor), is_noisy ? kSmoothing : 0),
                               .style = fmt::format("series-{}", i % kNumSeriesColours)});
    }
  return chart.lines.empty() ? "" : chart_html(chart);
}

}  // namespace

std::optional<double> last_mean_loss(const StageRecord& stage, double count) {
  const Series* loss = find(stage, "loss");
  if (loss == nullptr) return std::nullopt;
  double sum = 0;
  int64_t finite = 0;
  for (const auto& point : *loss) {
    if (point.x <= loss->back().x - count || !std::isfinite(point.y)) continue;
    sum += point.y;
    ++finite;
  }
  return finite == 0 ? std::nullopt : std::optional(sum / double(finite));
}

std::string curves_of(const ReportedRun& run) {
  std::string html;
  for (const auto& stage : run.record.stages)
    if (has_curves(stage)) html += stage_curves(run, stage);
  return html.empty() ? paragraph("No step is recorded yet.") : html + unknown_losses(run);
}

std::string other_losses(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                         const std::string& stage) {
  std::set<std::string> losses, validation;
  std::vector<std::string> lines;
  for (size_t i = 0; i < runs.size(); ++i)
    if (const StagePlan* plan = plan_of(runs[i], stage); plan != nullptr && !plan->loss.empty()) {
      losses.insert(plan->loss);
      validation.insert(plan->validation_loss);
      lines.push_back(fmt::format("{}: {}", names[i], plan->loss));
    }
  if (losses.size() < 2) return "";
  return note(fmt::format(
      "The losses of these runs are of different kinds, and a lower one is not a better one ({}). {}",
      join(lines, "; "),
      validation.size() < 2 ? "Their validation losses are of one kind and can be compared."
                            : "Compare images or scores; the validation losses differ in the same way."));
}

namespace {

// The scores of a stage that any of the runs has, and which runs computed them in another way.
std::string common_scores(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                          const std::string& stage_name) {
  std::set<std::string> keys, settings;
  std::vector<std::string> lines;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const auto& stage : runs[i].record.stages)
      for (const auto& [key, series] : stage.metrics)
        if (stage.name == stage_name && is_score(key)) keys.insert(key);
    const StagePlan* plan = plan_of(runs[i], stage_name);
    if (plan == nullptr || plan->metrics.empty()) continue;
    settings.insert(plan->metrics);
    lines.push_back(names[i] + ": " + plan->metrics);
  }
  std::string html;
  for (const auto& key : keys)
    html += common_chart(runs, names, stage_name,
                         {.key = key, .title = score_title({}, key), .from_zero = false});
  if (settings.size() > 1)
    html =
        note(fmt::format("The scores of these runs were computed in different ways, and cannot be compared "
                         "({}).",
                         join(lines, "; "))) +
        html;
  return html;
}

}  // namespace

std::string common_curves(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  std::vector<std::string> stages;
  for (const auto& run : runs)
    for (const auto& stage : run.record.stages)
      if (has_curves(stage) && std::find(stages.begin(), stages.end(), stage.name) == stages.end())
        stages.push_back(stage.name);
  std::string html;
  for (const auto& stage : stages) {
    html += "<h3>" + html_escaped(stage) + "</h3>\n" + other_losses(runs, names, stage);
    html += common_chart(runs, names, stage, {.key = "loss", .title = "Loss, smoothed", .wants_log = true});
    std::string small = common_chart(
        runs, names, stage,
        {.key = "validation_loss_ema", .title = "Validation loss, EMA weights", .from_zero = false});
    for (const auto& curve : small_curves()) small += common_chart(runs, names, stage, curve);
    small += common_scores(runs, names, stage);
    html += "<div class=\"charts\">\n" + small + "</div>\n";
  }
  return html.empty() ? paragraph("No step of any run is recorded yet.") : html;
}

}  // namespace pixart::report
