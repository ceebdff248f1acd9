#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/config/config.h"
#include "pixart/report/loss_bands.h"
#include "pixart/report/page.h"
#include "pixart/run/run_config.h"
#include "report_export.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using report::ConfigComparison;
using report::ConfigDifference;

namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string out, preset;
  ExportRequest exports;
  bool hash_weights = false;
  report::CostRates rates;
};

constexpr double kMegabyte = 1024.0 * 1024;

void add_changes(const std::vector<config::Change>& changes, const std::string& prefix,
                 std::vector<ConfigDifference>& differences) {
  for (const auto& change : changes) differences.push_back({prefix + change.path, change.was, change.is});
}

// Required keys have no default, so they show "none".
template <class T>
void add_defaults(const T& fresh, const T& is, const std::string& prefix,
                  std::vector<ConfigDifference>& differences) {
  for (auto& change : config::compare(fresh, is)) {
    for (const auto& key : config::keys<T>())
      if (key.path == change.path && key.required) change.was = "none";
    add_changes({change}, prefix, differences);
  }
}

// A config that names no order of samples has this one.
void name_order(run::RunConfig& config, data::OrderVersion order) {
  if (!config.sample_order) config.sample_order = int64_t(order);
}

// Stages and sources are compared with a fresh stage and a fresh source.
ConfigComparison with_defaults(const run::RunConfig& run) {
  ConfigComparison result{.with = "the defaults"};
  run::RunConfig fresh;
  fresh.run = run.run;
  name_order(fresh, data::kNewestOrder);
  fresh.sources = run.sources;
  fresh.stages = run.stages;
  add_defaults(fresh, run, "", result.differences);
  for (const auto& source : run.sources) {
    data::SourceConfig plain;
    plain.name = source.name;
    add_defaults(plain, source, "sources." + source.name + ".", result.differences);
  }
  for (const auto& stage : run.stages) {
    run::StageConfig plain;
    plain.name = stage.name;
    const auto optimizer = plain.optimizer.name;
    plain.optimizer.name = stage.optimizer.name;
    plain.optimizer = optim::resolved(plain.optimizer);
    plain.optimizer.name = optimizer;
    add_defaults(plain, stage, "stages." + stage.name + ".", result.differences);
  }
  return result;
}

ConfigComparison with(const std::string& name, run::RunConfig other, const run::RunConfig& run) {
  ConfigComparison result{.with = name};
  other.run = run.run;  // another run folder is not a difference in training
  name_order(other, data::kNewestOrder);
  add_changes(config::compare(other, run), "", result.differences);
  return result;
}

// Whether the loss is DiT's: of other predictions, timesteps and weights no usual values are known.
bool has_published_loss(const run::StageConfig& stage) {
  const diffusion::DiffusionConfig& chosen = stage;
  const auto values = config::values(chosen);
  return std::all_of(values.begin(), values.end(), [](const auto& value) { return value.is_default; });
}

// The usual loss of such a stage, if it is known, and a comparison with the run's own.
report::UsualLoss usual_loss(const run::RunConfig& config, const run::StageConfig& stage,
                             const report::RunRecord& record) {
  constexpr double kSteps = 200;  // losses of single steps vary more than the bands are wide
  const std::string preset = config.transformer.preset.value_or("");
  const report::LossSetting setting{.objective = stage.objective,
                                    .preset = preset,
                                    .resolution = stage.resolution,
                                    .batch_size = stage.batch_size};
  report::UsualLoss usual;
  if (!has_published_loss(stage)) return usual;
  for (const auto& band : report::loss_bands(setting)) {
    usual.bands.push_back({double(band.first_step), double(band.last_step), band.low, band.high});
    usual.source = band.source;
  }
  if (usual.bands.empty()) return usual;
  for (const auto& one : record.stages) {
    const auto loss = report::last_mean_loss(one, kSteps);
    if (one.name != stage.name || !loss) continue;
    const auto verdict = report::place_loss(setting, std::llround(one.last_step), *loss);
    const std::string words = verdict
                                  ? report::describe(*verdict)
                                  : fmt::format("the usual loss is known only from step {} to {}",
                                                with_thousands(std::llround(usual.bands.front().first_step)),
                                                with_thousands(std::llround(usual.bands.back().last_step)));
    usual.verdict =
        fmt::format("The mean loss of the last {:.0f} steps is {:.4g}: {}.", kSteps, *loss, words);
  }
  return usual;
}

// The prediction, and the other settings that are not the published ones.
std::string loss_text(const run::StageConfig& stage, diffusion::DiffusionConfig config) {
  std::string text = word_of(config.prediction);
  config.prediction = diffusion::DiffusionConfig{}.prediction;
  for (const auto& value : config::values(config))
    if (!value.is_default) text += fmt::format(", {}: {}", value.key, value.value);
  if (!stage.info().distills) return text;
  const auto& distilled = stage.consistency;
  return fmt::format("{}, distance to the target network (guidance {:g} to {:g}, huber_width {:g})", text,
                     distilled.least_guidance, distilled.most_guidance, distilled.huber_width);
}

// What the scores depend on besides the model. Files by their names: a page says nothing of the machine.
std::string metrics_text(const run::StageConfig& stage) {
  const auto& metrics = stage.metrics;
  if (metrics.every == 0) return "";
  const auto name_of = [](const std::filesystem::path& path) {
    const auto normal = path.lexically_normal();
    return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
  };
  std::string text = fmt::format("{} images", with_thousands(metrics.images));
  if (stage.info().reads_captions)
    text += " of " + (metrics.suite.empty() ? metrics.source : name_of(metrics.suite));
  if (metrics.compares()) text += ", reference " + name_of(metrics.reference);
  if (metrics.uses_inception()) text += ", " + word_of(metrics.resize) + " resize";
  if (metrics.uses_clip()) text += ", CLIP " + name_of(metrics.clip);
  const auto sampler = stage.metrics_sampler();
  return fmt::format("{}, {}, {} steps, guidance {:g}", text, sampler.sampler, sampler.num_steps,
                     sampler.guidance);
}

std::vector<report::StagePlan> plan_of(const run::RunConfig& config, const report::RunRecord& record) {
  std::vector<report::StagePlan> plan;
  for (const auto& stage : config.stages) {
    const bool is_diffusion = !stage.info().trains_autoencoder();
    plan.push_back({.name = stage.name,
                    .objective = stage.objective,
                    .steps = stage.steps,
                    .batch_size = stage.batch_size,
                    .gradient_clip = stage.gradient_clip,
                    .prompts = stage.samples.prompts,
                    .loss = is_diffusion ? loss_text(stage, stage) : "",
                    .validation_loss = is_diffusion ? loss_text(stage, stage.held_out_loss()) : "",
                    .usual_loss = usual_loss(config, stage, record),
                    .metrics = metrics_text(stage)});
  }
  return plan;
}

// A run, with its config if this version can read its run.yaml.
struct OpenedRun {
  std::optional<run::RunConfig> config;
  report::ReportedRun run;
};

OpenedRun open_run(const std::string& folder, bool hash_weights) {
  report::require_run_folder(folder);
  OpenedRun opened;
  report::ReadOptions options{.stages = {}, .features = {}, .hash_weights = hash_weights};
  std::string problem;
  try {
    if (fs::exists(fs::path(folder) / "run.yaml")) {
      opened.config = run::read_run_config(fs::path(folder) / "run.yaml");
      name_order(*opened.config, data::OrderVersion::kListed);  // of a program that knew no other
    }
  } catch (const UserError& error) {
    problem = fmt::format("this version cannot read run.yaml: {}", error.what());
  }
  if (opened.config) {
    for (const auto& stage : opened.config->stages) options.stages.push_back(stage.name);
    if (opened.config->features.path) options.features = *opened.config->features.path;
  }
  opened.run.record = report::read_run(folder, options);
  if (opened.config) opened.run.plan = plan_of(*opened.config, opened.run.record);
  if (!problem.empty()) {
    opened.run.record.remarks.push_back(problem);
    opened.run.comparisons.push_back({.with = "the defaults", .differences = {}, .problem = problem});
  }
  return opened;
}

std::string page_of_one(OpenedRun& opened, const ReportArguments& arguments,
                        const report::PageOptions& options) {
  auto& comparisons = opened.run.comparisons;
  if (opened.config && !arguments.preset.empty())
    comparisons.push_back(with(arguments.preset, run::read_run_config(arguments.preset), *opened.config));
  if (opened.config) comparisons.push_back(with_defaults(*opened.config));
  return report::run_page(opened.run, options);
}

// Compares the configs of the others with the first's.
std::string page_of_several(std::vector<OpenedRun>& opened, const report::PageOptions& options) {
  std::vector<report::ReportedRun> runs;
  const std::string first = opened.front().run.record.name;
  for (auto& run : opened) {
    run.run.comparisons.clear();
    if (run.config && opened.front().config)
      run.run.comparisons.push_back(with(first, *opened.front().config, *run.config));
    else
      run.run.comparisons.push_back(
          {.with = first, .differences = {}, .problem = "a run.yaml is missing or damaged."});
    runs.push_back(run.run);
  }
  return report::comparison_page(runs, options);
}

fs::path page_file(const ReportArguments& arguments) {
  if (!arguments.out.empty()) return arguments.out;
  return arguments.runs.size() == 1 ? fs::path(arguments.runs.front()) / "report.html"
                                    : fs::path("comparison.html");
}

void run_report(const ReportArguments& arguments) {
  if (arguments.exports.format) return export_runs(arguments.exports, arguments.runs, arguments.out);
  if (arguments.runs.size() > 1 && !arguments.preset.empty())
    throw UserError("--preset needs a single run. Several runs are compared with the first of them.");
  const fs::path out = page_file(arguments);
  report::check_page_file(out);
  std::vector<OpenedRun> opened;
  for (const auto& folder : arguments.runs) opened.push_back(open_run(folder, arguments.hash_weights));
  const report::PageOptions options{.rates = arguments.rates,
                                    .made = fmt::format("Made by {} at {}.", producer(), utc_time_now())};
  const std::string page =
      opened.size() == 1 ? page_of_one(opened.front(), arguments, options) : page_of_several(opened, options);
  write_file_atomically(link_target(out), page);
  for (const auto& one : opened)
    for (const auto& remark : one.run.record.remarks) log::warning("{}: {}", one.run.record.name, remark);
  log::info("wrote {} ({:.1f} MiB)", out.string(), double(page.size()) / kMegabyte);
}

}  // namespace

void add_report(CLI::App& app) {
  auto arguments = std::make_shared<ReportArguments>();
  auto* command = app.add_subcommand(
      "report", "Write a page about a run, finished or not, or a comparison of several runs.");
  command->add_option("RUN", arguments->runs, "run folders; the others are compared with the first")
      ->required();
  command->add_option(
      "--out", arguments->out,
      "file to write (default: RUN/report.html; comparison.html for several runs); of an export the folder");
  command->add_option("--preset", arguments->preset,
                      "run file to compare the run with, e.g. the preset it started from");
  command->add_option("--price", arguments->rates.price_per_hour, "price per device and hour")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--carbon", arguments->rates.kg_per_kwh, "kg of CO2 per kWh")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--power", arguments->rates.watts, "watts per device, if the energy was not measured")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--hash-weights", arguments->hash_weights,
                    "add the SHA-256 of each stage's newest weight files (reads all their bytes)");
  add_export_options(*command, arguments->exports);
  command->footer(
      "Examples:\n"
      "  pixart report runs/demo\n"
      "  pixart report runs/alpha --preset configs/paper/alpha.yaml --price 1.6 --carbon 0.4\n"
      "  pixart report runs/a runs/b --out a-and-b.html\n"
      "  pixart report runs/demo --export csv --out tables\n"
      "  pixart report runs/demo --export wandb-offline --out wandb && wandb sync wandb/offline-run-*\n\n"
      "The page needs no network and no server. Missing files of a run folder are listed on the page; they\n"
      "are not an error. A file that is not such a page is not replaced.");
  command->callback([arguments] { run_report(*arguments); });
}

}  // namespace pixart::tools
