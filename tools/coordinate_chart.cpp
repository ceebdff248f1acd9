#include "coordinate_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/report/width_chart.h"
#include "pixart/train/coordinate_check.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char *kCommand = "pixart plan --coord-check", *kChange = "change of outputs after ";

const run::StageConfig& stage_of(const run::RunConfig& run, const std::string& name) {
  if (!name.empty()) return run.stage(name);
  for (const auto& stage : run.stages)
    if (!stage.info().trains_autoencoder()) return stage;
  throw UserError("--coord-check: the run has no stage with a transformer.");
}

std::string parametrization_of(const run::RunConfig& run) {
  const auto& width = run.transformer.base_width;
  return width ? fmt::format("muP, base width {}", *width) : "standard parametrization";
}

ordered_json table_of(const train::CoordinateCheck& check, const run::RunConfig& run,
                      const run::StageConfig& stage, const CoordinateChart& chart) {
  ordered_json table = {{"stage", stage.name},
                        {"parametrization", parametrization_of(run)},
                        {"lr", stage.optimizer.lr},
                        {"steps", chart.steps},
                        {"seeds", chart.seeds},
                        {"widths", check.widths},
                        {"layers", ordered_json::array()}};
  for (const auto& row : check.rows)
    table["layers"].push_back({{"layer", row.layer},
                               {"slope", row.slope ? ordered_json(*row.slope) : ordered_json()},
                               {"change", row.change},
                               {"before", row.before}});
  return table;
}

std::string slope_text(const train::CoordinateRow& row) {
  return row.slope ? fmt::format("{:+.2f}", *row.slope) : "not known";
}

std::string chart_of(const train::CoordinateCheck& check, const run::RunConfig& run, int64_t steps) {
  report::WidthChart chart{.title = parametrization_of(run),
                           .value_name = fmt::format("{}{} steps (root mean square)", kChange, steps),
                           .widths = check.widths,
                           .curves = {}};
  for (const auto& row : check.rows)
    chart.curves.push_back(
        {.label = fmt::format("{} ({})", row.layer, slope_text(row)), .values = row.change});
  return report::width_chart_svg(chart);
}

}  // namespace

void draw_coordinate_check(const run::RunConfig& run, const CoordinateChart& chart) {
  if (chart.file.extension() != ".svg")
    throw UserError(fmt::format("--coord-check {}: the chart is an SVG file; let its name end with .svg.",
                                chart.file.string()));
  const auto& stage = stage_of(run, chart.stage);
  if (stage.info().trains_autoencoder())
    throw UserError(fmt::format("--coord-check: stage {} trains no transformer.", stage.name));
  fs::path table = chart.file;
  table.replace_extension(".json");
  report::check_chart_file(chart.file, {"<svg xmlns=", kChange}, kCommand, "chart");
  report::check_chart_file(table, {"\"parametrization\": ", "\"widths\": ", "\"layers\": "}, kCommand,
                           "table");
  const auto check = train::coordinate_check(
      run, stage, {.widths = chart.widths, .steps = chart.steps, .seeds = chart.seeds});
  if (!chart.file.parent_path().empty()) create_folders(chart.file.parent_path());
  write_file_atomically(chart.file, chart_of(check, run, chart.steps));
  write_file_atomically(table, table_of(check, run, stage, chart).dump(1) + "\n");
  print_line("{}, stage {}: the change of outputs grows as width ^ slope (0: the same at every width)",
             parametrization_of(run), stage.name);
  for (const auto& row : check.rows) print_line("  {:<40} {}", row.layer, slope_text(row));
  print_line("written: {} and {}", chart.file.string(), table.string());
}

}  // namespace pixart::tools
