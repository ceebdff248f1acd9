#include <fmt/format.h>

#include <algorithm>

#include "images.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "sections.h"

namespace pixart::report {
namespace {

constexpr int kSmall = 512;  // pixels; smaller images are enlarged without blurring

std::string image_html(const EmbeddedImage& image, const std::string& caption, const std::string& alt) {
  const bool is_small = image.width < kSmall;
  const int shown = is_small ? image.width * (kSmall / std::max(1, image.width)) : image.width;
  return fmt::format(
      "<figure class=\"grid\"><figcaption>{}</figcaption><img src=\"{}\" width=\"{}\" height=\"{}\"{} "
      "alt=\"{}\" "
      "style=\"max-width:min(100%,{}px)\"></figure>\n",
      html_escaped(caption), image.data, image.width, image.height, is_small ? " class=\"pixels\"" : "",
      html_escaped(alt), shown);
}

std::string alt_text(const ReportedRun& run, const std::string& stage, int64_t step) {
  std::string alt = fmt::format("Sample images of stage {} at step {}", stage, step);
  const StagePlan* plan = plan_of(run, stage);
  if (plan != nullptr && !plan->prompts.empty()) alt += ": " + name_some(plan->prompts);
  return alt;
}

std::string stage_samples(const ReportedRun& run, const StageRecord& stage, uint64_t bytes) {
  const EmbeddedGrids grids = embedded_grids(stage.samples, bytes);
  std::string html = "<h3>" + html_escaped(stage.name) + "</h3>\n";
  if (grids.images.size() < stage.samples.size())
    html += note(fmt::format(
        "{} of {} grids are shown{}.", grids.images.size(), stage.samples.size(),
        grids.num_damaged == 0 ? std::string() : fmt::format("; {} cannot be read", grids.num_damaged)));
  html += fmt::format("<div class=\"grids\" data-name=\"Step of stage {}\">\n", html_escaped(stage.name));
  for (const auto& image : grids.images)
    html += image_html(image, "step " + with_thousands(image.step), alt_text(run, stage.name, image.step));
  html += "</div>\n";
  const StagePlan* plan = plan_of(run, stage.name);
  if (plan == nullptr || plan->prompts.empty()) return html;
  std::string prompts = "<ol class=\"prompts\">\n";
  for (const auto& prompt : plan->prompts) prompts += "<li>" + html_escaped(prompt) + "</li>\n";
  return html + details("Prompts, row by row", prompts + "</ol>\n");
}

size_t num_stages_with_samples(const RunRecord& run) {
  return size_t(std::count_if(run.stages.begin(), run.stages.end(),
                              [](const StageRecord& stage) { return !stage.samples.empty(); }));
}

}  // namespace

std::string samples_of(const ReportedRun& run, uint64_t bytes) {
  const size_t stages = num_stages_with_samples(run.record);
  std::string html;
  for (const auto& stage : run.record.stages)
    if (!stage.samples.empty()) html += stage_samples(run, stage, bytes / stages);
  return html.empty() ? paragraph("There are no sample images in samples/ yet.") : html;
}

std::string last_samples(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                         uint64_t bytes) {
  size_t stages = 0;
  for (const auto& run : runs) stages += num_stages_with_samples(run.record);
  std::string html;
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& stage : runs[i].record.stages) {
      if (stage.samples.empty()) continue;
      for (const auto& image : embedded_grids({stage.samples.back()}, bytes / stages).images)
        html += image_html(image,
                           fmt::format("{}: {}, step {}", names[i], stage.name, with_thousands(image.step)),
                           alt_text(runs[i], stage.name, image.step));
    }
  return html.empty() ? paragraph("No run has sample images yet.") : html;
}

}  // namespace pixart::report
