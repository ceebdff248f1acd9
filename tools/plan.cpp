#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "coordinate_chart.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/machine.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/plan/paper_stages.h"
#include "pixart/plan/plan.h"
#include "pixart/report/paper_costs.h"
#include "pixart/train/coordinate_check.h"

namespace pixart::tools {
using nlohmann::ordered_json;

namespace {

struct PlanArguments {
  std::string file, gpu = "a100-80", precision, calibrate;
  std::vector<std::string> overrides, images_per_second;
  int64_t gpus = 1, micro_batch_size = -1, activation_checkpointing = -1, classes = 0, caption_tokens = 0;
  double price = 0, carbon = 0.4, mfu = 0, efficiency = 0;
  bool shard = false, json = false, check = false;
  CoordinateChart coordinates;
};

double positive_number(const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  constexpr double kLeast = 1e-9, kMost = 1e12;
  if (used == 0 || used != text.size() || !(value >= kLeast && value <= kMost))
    throw UserError(
        fmt::format("--images-per-second: '{}' is not a positive number from {} to {} (expected a number, "
                    "STAGE=number, or paper).",
                    text, kLeast, kMost));
  return value;
}

// Uses the paper's V100 rates for the GPU of the plan.
void use_paper_rates(const run::RunConfig& config, plan::PlanOptions& options) {
  const bool is_a100 = options.gpu.name.starts_with("a100");
  if (!is_a100 && !options.gpu.name.starts_with("v100"))
    throw UserError(
        "--images-per-second paper: the paper's rates are for V100 and, with its factor of 2.2, A100; choose "
        "--gpu v100 or a100-80.");
  for (const auto& stage : config.stages) {
    const double rate = plan::paper_images_per_second(stage.objective, int(stage.resolution),
                                                      double(stage.batch_size), double(stage.steps));
    if (rate == 0)
      throw UserError(
          fmt::format("--images-per-second paper: the paper has no stage like {} ({}, {} px, batch {}).",
                      stage.name, stage.objective, stage.resolution, stage.batch_size));
    options.images_per_second[stage.name] = rate * (is_a100 ? plan::kV100DaysPerA100Day : 1);
  }
  options.measured_from = is_a100 ? "2.2 x the paper's V100 (table 4)" : "the paper's V100 (table 4)";
}

void use_given_rates(const PlanArguments& arguments, const run::RunConfig& config,
                     plan::PlanOptions& options) {
  options.measured_from = "as given";
  for (const auto& text : arguments.images_per_second) {
    if (text == "paper") {
      use_paper_rates(config, options);
      continue;
    }
    const auto equals = text.find('=');
    const std::string stage = equals == std::string::npos ? "" : text.substr(0, equals);
    if (!stage.empty()) config.stage(stage);  // an unknown one is an error with the nearest name
    options.images_per_second[stage] =
        positive_number(equals == std::string::npos ? text : text.substr(equals + 1));
  }
}

run::RunConfig run_config(const PlanArguments& arguments) {
  auto config = run::read_run_config(arguments.file, arguments.overrides);
  for (auto& stage : config.stages) {
    if (stage.info().trains_autoencoder()) continue;
    if (!arguments.precision.empty())
      stage.precision = enum_of_word<run::Precision>(arguments.precision, "precision");
    if (arguments.micro_batch_size >= 0) stage.micro_batch_size = arguments.micro_batch_size;
    if (arguments.activation_checkpointing >= 0)
      stage.activation_checkpointing = arguments.activation_checkpointing;
  }
  return config;
}

plan::PlanOptions plan_options(const PlanArguments& arguments, const run::RunConfig& config) {
  plan::PlanOptions options{
      .gpu = plan::find_gpu(arguments.gpu, physical_cores(), double(total_memory_bytes()), cpu_bfloat16())};
  options.gpus = arguments.gpus;
  options.shard_optimizer = arguments.shard;
  if (arguments.efficiency > 0) options.efficiency = arguments.efficiency;
  options.price_per_gpu_hour = arguments.price;
  options.kg_co2_per_kwh = arguments.carbon;
  if (arguments.classes > 0) options.num_classes = arguments.classes;
  if (arguments.caption_tokens > 0) options.caption_tokens = arguments.caption_tokens;
  if (arguments.mfu > 0) {
    options.mfu[""] = arguments.mfu;
    options.measured_from = "as given";
  } else if (!arguments.calibrate.empty()) {
    options.mfu = plan::measured_mfu(arguments.calibrate, options.gpu, config.stages.back().precision);
    options.measured_from = "median of " + arguments.calibrate;
  } else {
    use_given_rates(arguments, config, options);
  }
  return options;
}

ordered_json json_of(const plan::Consumption& c) {
  return {{"seconds", c.seconds},
          {"gpu_days", c.gpu_days},
          {"cost", c.cost},
          {"kwh", c.kwh},
          {"kg_co2", c.kg_co2}};
}

ordered_json json_of(const plan::MetricsPlan& m) {
  if (m.looks == 0) return nullptr;
  return {
      {"times", m.looks}, {"images", m.images}, {"seconds_each", m.seconds_each}, {"seconds", m.seconds()}};
}

ordered_json json_of(const plan::EncodingPlan& e) {
  if (e.flops == 0) return nullptr;
  return {{"flops_per_sample", e.flops}, {"seconds_per_sample", e.seconds}};
}

ordered_json json_of(const std::vector<plan::ResolutionPlan>& resolutions) {
  if (resolutions.empty()) return nullptr;
  auto all = ordered_json::array();
  for (const auto& one : resolutions)
    all.push_back({{"side", one.side},
                   {"share", one.share},
                   {"micro_batch_size", one.micro_batch},
                   {"largest_micro_batch_size", one.largest_micro_batch},
                   {"flops_per_sample", one.flops},
                   {"memory_bytes", one.bytes},
                   {"fits", one.fits},
                   {"images_per_second", one.images_per_second}});
  return all;
}

ordered_json json_of(const plan::StagePlan& s) {
  ordered_json memory;
  for (const auto& [name, bytes] : s.memory.named()) memory[name] = bytes;
  memory["total"] = s.memory.total();
  memory["total_without_sharding"] = s.bytes_plain;
  memory["total_with_sharding"] = s.bytes_sharded;
  return {{"stage", s.name},
          {"objective", s.objective},
          {"resolution", s.resolution},
          {"precision", s.precision},
          {"steps", s.steps},
          {"batch_size", s.batch_size},
          {"samples_per_gpu", s.samples_per_gpu},
          {"micro_batch_size", s.micro_batch},
          {"largest_micro_batch_size", s.largest_micro_batch},
          {"fits", s.fits},
          {"parameters", s.parameters},
          {"trained_parameters", s.trained},
          {"forward_flops_per_sample", s.flops.forward},
          {"flops_per_sample", s.flops.training},
          {"executed_flops_per_sample", s.flops.executed},
          {"flops_per_step", s.flops.training * double(s.batch_size)},
          {"memory_bytes", memory},
          {"rate", s.rate},
          {"mfu", s.mfu},
          {"step_seconds", s.step_seconds},
          {"images_per_second", s.images_per_second},
          {"resolutions", json_of(s.resolutions)},
          {"encoding", json_of(s.encoding)},
          {"metrics", json_of(s.metrics)},
          {"needs", json_of(s.consumption)}};
}

ordered_json json_of(const plan::RunPlan& plan, const PlanArguments& arguments,
                     const plan::PlanOptions& options) {
  ordered_json result = {{"gpu", options.gpu.name}, {"gpus", arguments.gpus}, {"fits", plan.fits}};
  result["stages"] = ordered_json::array();
  for (const auto& stage : plan.stages) result["stages"].push_back(json_of(stage));
  result["sum"] = json_of(plan.sum);
  result["assumptions"] = plan.assumptions;
  result["warnings"] = plan.warnings;
  result["papers"] = ordered_json::array();
  for (const auto& cost : report::paper_costs()) {
    ordered_json paper = {{"model", cost.model},
                          {"parameters_billion", cost.parameters / 1e9},
                          {"images_million", cost.images / 1e6},
                          {"coco_fid", cost.fid},
                          {"a100_gpu_days", cost.a100_days}};
    if (cost.dollars) paper["dollars"] = *cost.dollars;
    if (cost.tonnes_co2) paper["tonnes_co2"] = *cost.tonnes_co2;
    paper["source"] = cost.source;
    result["papers"].push_back(std::move(paper));
  }
  return result;
}

std::string gigabytes(double bytes) { return fmt::format("{:.2f} GB", bytes / 1e9); }

void line(const std::string& what, const std::string& value) { print_line("  {:<22} {}", what, value); }

std::string needs_text(const plan::Consumption& c) {
  std::string text = fmt::format("{:.2f} days, {:.1f} GPU-days", c.seconds / 86400, c.gpu_days);
  if (c.seconds < 86400) text = fmt::format("{}, {:.3f} GPU-days", human_seconds(c.seconds), c.gpu_days);
  if (c.cost > 0) text += fmt::format(", {} dollars", with_thousands(int64_t(std::min(c.cost + 0.5, 9e18))));
  if (c.kwh > 0) text += fmt::format(", {:.0f} kWh, {:.0f} kg CO2", c.kwh, c.kg_co2);
  return text;
}

void print(const plan::StagePlan& s) {
  print_line("");
  print_line("{}: {}, {} px, {} steps of {} samples, {}", s.name, s.objective, s.resolution,
             with_thousands(s.steps), with_thousands(s.batch_size), s.precision);
  line("parameters", with_thousands(s.parameters) +
                         (s.trained == s.parameters ? "" : ", trained " + with_thousands(s.trained)));
  line("FLOP", fmt::format("{:.4g} G per sample ({:.4g} G with recomputation), {:.4g} T per step",
                           s.flops.training / 1e9, s.flops.executed / 1e9,
                           s.flops.training * double(s.batch_size) / 1e12));
  std::vector<std::string> parts;
  for (const auto& [name, bytes] : s.memory.named())
    if (bytes > 0) parts.push_back(name + " " + gigabytes(bytes));
  line("memory per GPU", fmt::format("{} with micro-batches of {}{}", gigabytes(s.memory.total()),
                                     s.micro_batch, s.fits ? "" : ": DOES NOT FIT"));
  line("", join(parts, ", "));
  line("optimizer sharding",
       fmt::format("{} without, {} with", gigabytes(s.bytes_plain), gigabytes(s.bytes_sharded)));
  line("largest micro-batch",
       s.largest_micro_batch == 0
           ? "none fits"
           : fmt::format("{} of {} samples per GPU", s.largest_micro_batch, s.samples_per_gpu));
  for (const auto& one : s.resolutions)
    line(fmt::format("at {} px", one.side),
         fmt::format(
             "{:.0f} % of the samples, micro-batches of {} (largest {}): {}, {:.4g} G FLOP per sample, "
             "{:.4g} images/s",
             100 * one.share, one.micro_batch, one.largest_micro_batch, gigabytes(one.bytes), one.flops / 1e9,
             one.images_per_second));
  line("rate", fmt::format("{} (MFU {:.1f} %)", s.rate, 100 * s.mfu));
  line("time", fmt::format("{:.3g} s per step, {:.4g} images/s", s.step_seconds, s.images_per_second));
  if (s.encoding.flops > 0)
    line("encoding",
         fmt::format("{:.4g} G more FLOP per sample{}", s.encoding.flops / 1e9,
                     s.encoding.seconds == 0 ? ""
                                             : fmt::format(", {:.3g} % of a step",
                                                           100 * s.encoding.seconds *
                                                               double(s.samples_per_gpu) / s.step_seconds)));
  if (s.metrics.looks > 0)
    line("metrics",
         fmt::format("{} times {} images, {} each: {:.3g} % of the time", with_thousands(s.metrics.looks),
                     with_thousands(s.metrics.images), human_seconds(s.metrics.seconds_each),
                     100 * s.metrics.seconds() / s.consumption.seconds));
  line("needs", needs_text(s.consumption));
}

void print_papers(const plan::RunPlan& plan) {
  print_text("\ncompared with published models (A100 GPU-days as the PixArt-alpha paper counts them):\n");
  for (const auto& cost : report::paper_costs()) {
    const std::string dollars =
        cost.dollars ? fmt::format(", {} dollars", with_thousands(int64_t(*cost.dollars))) : "";
    print_line("  {:<22} {:3.1f} B parameters, {:5.0f} M images, FID {:5.2f}, {:>7} GPU-days{} [{}]",
               cost.model, cost.parameters / 1e9, cost.images / 1e6, cost.fid,
               with_thousands(int64_t(cost.a100_days)), dollars, cost.source);
  }
  line("this plan", needs_text(plan.sum));
}

void print(const plan::RunPlan& plan, const PlanArguments& arguments, const plan::PlanOptions& options) {
  print_line("{} x {} ({} each)", arguments.gpus, options.gpu.name, gigabytes(options.gpu.memory_bytes));
  for (const auto& stage : plan.stages) print(stage);
  print_line("");
  print_line("in total: {}", needs_text(plan.sum));
  for (const auto& sentence : plan.assumptions) print_line("assumed: {}", sentence);
  print_text(
      "not counted: extracting features, sample images, distances of metrics, saving, failures; energy is that "
      "of the boards at full load.\n");
  print_papers(plan);
}

void run_plan(const PlanArguments& arguments) {
  const auto config = run_config(arguments);
  if (!arguments.coordinates.file.empty()) return draw_coordinate_check(config, arguments.coordinates);
  const auto options = plan_options(arguments, config);
  const auto plan = plan::plan_run(config, options);
  if (arguments.json)
    print_json(json_of(plan, arguments, options).dump(1, ' ', false, ordered_json::error_handler_t::replace));
  else
    print(plan, arguments, options);
  std::fflush(stdout);  // before the warnings on stderr
  for (const auto& warning : plan.warnings) log::warning("{}", warning);
  if (arguments.check && !plan.fits) throw UserError("the run does not fit; see the warnings.");
}

void add_rates(CLI::App& command, PlanArguments& arguments) {
  auto* efficiency = command.add_option("--efficiency", arguments.efficiency,
                                        "share of the peak rate that the executed operations reach (0.35)");
  auto* mfu = command.add_option("--mfu", arguments.mfu, "model FLOPs utilisation; replaces --efficiency");
  auto* images =
      command.add_option("--images-per-second", arguments.images_per_second,
                         "rate measured on one GPU: a number, STAGE=number, or paper (the paper's rates)");
  auto* calibrate = command.add_option("--calibrate", arguments.calibrate,
                                       "run folder whose telemetry.jsonl has the measured MFU");
  images->allow_extra_args(false);
  for (auto* share : {efficiency, mfu}) share->check(CLI::Range(1e-6, 1.0));
  for (auto* one : {efficiency, mfu, images, calibrate})
    for (auto* other : {efficiency, mfu, images, calibrate})
      if (one != other) one->excludes(other);
}

void add_coordinate_check(CLI::App& command, CoordinateChart& chart) {
  auto* check = command.add_option(
      "--coord-check", chart.file,
      "in place of the plan: train small models of several widths for a few steps on random samples, and draw to this .svg how "
      "much the outputs of each kind of layer change (with a table in .json); flat with transformer.base_width");
  auto* widths =
      command
          .add_option(
              "--widths", chart.widths,
              fmt::format("of the check: 2 to {} numbers from {} to {} (default: four, from about 64 on)",
                          train::kMostChecked, train::kNarrowestChecked, train::kWidestChecked))
          ->delimiter(',');
  auto* steps = command.add_option("--check-steps", chart.steps, "of the check")
                    ->check(CLI::Range(1, 1000))
                    ->capture_default_str();
  auto* seeds = command.add_option("--seeds", chart.seeds, "of the check; values are means over them")
                    ->check(CLI::Range(1, 100))
                    ->capture_default_str();
  auto* stage =
      command.add_option("--stage", chart.stage, "of the check (default: the first with a transformer)");
  for (auto* one : {widths, steps, seeds, stage}) one->needs(check);
}

}  // namespace

void add_plan(CLI::App& app) {
  auto arguments = std::make_shared<PlanArguments>();
  auto* command = app.add_subcommand(
      "plan",
      "Estimate what a run needs before it starts: memory, time, money, energy. Reads only the run "
      "file.");
  command->add_option("FILE", arguments->file, "run file (YAML); its data may be missing")->required();
  command->add_option("--gpu", arguments->gpu, "one of: " + join(plan::gpu_names(), ", "))
      ->capture_default_str();
  command->add_option("--gpus", arguments->gpus, "number of GPUs")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 20));
  command->add_option("--set", arguments->overrides, "override a key, as for train")->allow_extra_args(false);
  command->add_option("--precision", arguments->precision, "precision of every transformer stage")
      ->check(CLI::IsMember(words_of_enum<run::Precision>()));
  command
      ->add_option("--micro-batch-size", arguments->micro_batch_size,
                   "micro_batch_size of every transformer stage; 0: the whole batch")
      ->check(CLI::Range(0, int(kMostOfAStep)));
  command
      ->add_option("--activation-checkpointing", arguments->activation_checkpointing,
                   "activation_checkpointing of every transformer stage")
      ->check(CLI::Range(0, int(kMostLayers)));
  command->add_flag("--shard", arguments->shard, "divide moments and EMA among the GPUs");
  add_rates(*command, *arguments);
  command->add_option("--price", arguments->price, "dollars per GPU and hour")->check(CLI::Range(0.0, 1e6));
  command->add_option("--carbon", arguments->carbon, "kg of CO2 per kWh")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command
      ->add_option("--classes", arguments->classes,
                   "number of classes of the class-conditional stages' source")
      ->check(CLI::Range(1, 1'000'000));
  command
      ->add_option("--caption-tokens", arguments->caption_tokens,
                   "mean length of a caption (default: text_encoder.max_tokens)")
      ->check(CLI::Range(1, 8192));
  add_coordinate_check(*command, arguments->coordinates);
  command->add_flag("--json", arguments->json, "print JSON");
  command->add_flag("--check", arguments->check, "exit code 78 if a stage does not fit");
  command->footer(
      "Examples:\n  pixart plan configs/paper/alpha.yaml --gpu a100-80 --gpus 64 --price 1.6\n"
      "  pixart plan configs/paper/alpha.yaml --gpu v100 --gpus 64 --images-per-second paper\n"
      "  pixart plan my.yaml --gpu rtx4090 --check\n"
      "  pixart plan my.yaml --coord-check widths.svg --set transformer.base_width=64");
  command->callback([arguments] { run_plan(*arguments); });
}

}  // namespace pixart::tools
