// The facts of a run (who, when, where, how far) and its weights.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "json_lines.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "sections.h"
#include "series.h"

namespace pixart::report {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

// The distinct values in order of first occurrence, joined.
template <class Get>
std::string distinct(const RunRecord& run, Get get) {
  std::vector<std::string> values;
  std::set<std::string> known;
  for (const auto& process : run.processes) {
    const std::string value = get(process);
    if (!value.empty() && known.insert(value).second) values.push_back(value);
  }
  return join(values, ", then ");
}

std::string devices_text(const ProcessRecord& process) {
  if (process.device.empty()) return "";
  return process.devices == 1 ? process.device : fmt::format("{} x {}", process.devices, process.device);
}

const Series* find(const std::map<std::string, Series>& all, const std::string& key) {
  const auto found = all.find(key);
  return found == all.end() || found->second.empty() ? nullptr : &found->second;
}

// Formats one number; "" if there is none.
std::string shown(const std::optional<double>& value, const char* format, double factor = 1) {
  return value ? fmt::format(fmt::runtime(format), *value * factor) : "";
}

std::optional<double> median(const StageRecord& stage, const std::string& key) {
  const Series* series = find(stage.machine, key);
  return series == nullptr ? std::nullopt : median_of(*series);
}

std::optional<double> most(const StageRecord& stage, const std::string& key) {
  const Series* series = find(stage.machine, key);
  const auto extent = series == nullptr ? std::nullopt : extent_of(*series);
  return extent ? std::optional(extent->most) : std::nullopt;
}

// The end of the smoothed curve, because a single step's loss says little.
std::optional<double> last_loss(const StageRecord& stage) {
  constexpr double kShare = 0.05;
  const Series* loss = find(stage.metrics, "loss");
  return loss == nullptr ? std::nullopt : last_of(smoothed(*loss, kShare));
}

std::optional<double> last_validation(const StageRecord& stage) {
  for (const char* key : {"validation_loss_ema", "validation_loss"})
    if (const Series* series = find(stage.metrics, key)) return last_of(*series);
  return std::nullopt;
}

// The number of parameters, and of those that are trained if they differ: frozen weights, adapters.
std::string parameters_text(const std::optional<double>& all, const std::optional<double>& trained) {
  if (!all) return "";
  return number_text(*all) + (!trained || *trained == *all ? "" : ", trained " + number_text(*trained));
}

Cells stage_row_names() {
  return {"stage",        "objective",          "predicts, loss",  "steps",           "batch",
          "images seen",  "parameters",         "loss (smoothed)", "validation loss", "img/s (median)",
          "MFU (median)", "data wait (median)", "most memory"};
}

Cells stage_row(const ReportedRun& run, const StageRecord& stage) {
  const StagePlan* plan = plan_of(run, stage.name);
  const auto fact = [&](const char* key) {
    const auto found = stage.facts.find(key);
    return found == stage.facts.end() ? std::optional<double>() : std::optional(found->second);
  };
  const auto batch = plan != nullptr ? std::optional(double(plan->batch_size)) : fact("batch_size");
  std::string steps = with_thousands(std::llround(stage.last_step));
  if (plan != nullptr) steps += " of " + with_thousands(plan->steps);
  const auto memory = most(stage, "memory_bytes");
  return {stage.name,
          plan == nullptr ? "" : plan->objective,
          plan == nullptr ? "" : plan->loss,
          steps,
          shown(batch, "{:.0f}"),
          batch ? number_text(*batch * stage.last_step) : "",
          parameters_text(fact("parameters"), fact("trained_parameters")),
          shown(last_loss(stage), "{:.4g}"),
          shown(last_validation(stage), "{:.4g}"),
          shown(median(stage, "images_per_second"), "{:.4g}"),
          shown(median(stage, "mfu"), "{:.1f} %", 100),
          shown(median(stage, "data_wait"), "{:.1f} %", 100),
          memory ? human_bytes(uint64_t(std::max(0.0, *memory))) : ""};
}

// One column per stage; rows without a value for any stage are left out.
Table turned(const Table& table) {
  Table result{.head = {""}, .rows = {}, .numbers = table.rows.size()};
  for (const auto& row : table.rows) result.head.push_back(row.front());
  for (size_t i = 1; i < table.head.size(); ++i) {
    Cells cells = {table.head[i]};
    for (const auto& row : table.rows) cells.push_back(row[i]);
    if (std::any_of(cells.begin() + 1, cells.end(), [](const auto& cell) { return !cell.empty(); }))
      result.rows.push_back(std::move(cells));
  }
  return result;
}

Facts facts_list(const ReportedRun& run) {
  const RunRecord& record = run.record;
  Facts facts = {{"state", state_of(run)}};
  if (!record.processes.empty()) {
    double seconds = 0;
    for (const auto& process : record.processes) seconds += process.end - process.begin;
    const size_t restarts = record.processes.size() - 1;
    facts.emplace_back("started", time_text(record.processes.front().begin) + " UTC");
    facts.emplace_back("last line", time_text(record.processes.back().end) + " UTC");
    facts.emplace_back(
        "ran for",
        human_seconds(seconds) +
            (restarts == 0 ? "" : fmt::format(", restarted {} time{}", restarts, restarts == 1 ? "" : "s")));
  }
  facts.emplace_back("machine", distinct(record, [](const auto& process) { return process.host; }));
  facts.emplace_back("devices", distinct(record, devices_text));
  facts.emplace_back("processes", distinct(record, [](const auto& process) {
                       const std::string threads =
                           process.threads > 0 ? fmt::format(", {} threads each", process.threads) : "";
                       return std::to_string(process.ranks) + threads;
                     }));
  facts.emplace_back("pixart", distinct(record, [](const auto& process) { return process.version; }));
  facts.emplace_back("LibTorch", distinct(record, [](const auto& process) { return process.torch; }));
  return facts;
}

std::string weight_facts(const StageRecord& stage) {
  const CheckpointRecord& checkpoint = *stage.checkpoint;
  std::vector<std::pair<std::string, std::string>> facts = {{"checkpoint", checkpoint.folder},
                                                            {"manifest SHA-256", checkpoint.sha256},
                                                            {"cannot be read", checkpoint.problem}};
  constexpr std::string_view kWeights = ".safetensors";
  for (const auto& file : checkpoint.files)
    if (file.name.ends_with(kWeights))
      facts.emplace_back(file.name.substr(0, file.name.size() - kWeights.size()),
                         human_bytes(file.bytes) + (file.sha256.empty() ? "" : ", SHA-256 " + file.sha256));
  constexpr std::string_view kOwn = "pixart.";
  for (const auto& [key, text] : checkpoint.metadata)
    if (key.starts_with(kOwn) && key != "pixart.format_version" && text != "[]")
      facts.emplace_back(key.substr(kOwn.size()), text);
  return "<h3>" + html_escaped(stage.name) + "</h3>\n" + facts_html(facts);
}

}  // namespace

const StagePlan* plan_of(const ReportedRun& run, const std::string& stage) {
  for (const auto& plan : run.plan)
    if (plan.name == stage) return &plan;
  return nullptr;
}

std::map<std::string, int64_t> planned_steps(const ReportedRun& run) {
  std::map<std::string, int64_t> steps;
  for (const auto& plan : run.plan) steps[plan.name] = plan.steps;
  return steps;
}

std::string state_of(const ReportedRun& run) { return state_of(run.record, planned_steps(run)); }

std::string devices_of(const RunRecord& run) {
  return run.processes.empty() ? "unknown" : devices_text(run.processes.back());
}

std::string facts_of(const ReportedRun& run) { return facts_html(facts_list(run)); }

std::string compared_facts(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  Table table{.head = {""}, .rows = {}};
  for (const auto& name : names) table.head.push_back(name);
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& [fact, text] : facts_list(runs[i])) {
      auto row =
          std::find_if(table.rows.begin(), table.rows.end(), [&](const Cells& r) { return r[0] == fact; });
      if (row == table.rows.end()) {
        table.rows.emplace_back(runs.size() + 1);
        row = std::prev(table.rows.end());
        row->front() = fact;
      }
      (*row)[i + 1] = text;
    }
  return table_html(table);
}

std::string stages_of(const ReportedRun& run) {
  if (run.record.stages.empty())
    return paragraph(
        "Neither run.yaml nor a line of the run's files names a "
        "stage.");
  Table table{.head = stage_row_names(), .rows = {}};
  for (const auto& stage : run.record.stages) table.rows.push_back(stage_row(run, stage));
  return table_html(turned(table));
}

std::string compared_stages(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  std::vector<std::string> stages;
  for (const auto& run : runs)
    for (const auto& stage : run.record.stages)
      if (std::find(stages.begin(), stages.end(), stage.name) == stages.end()) stages.push_back(stage.name);
  std::string html;
  for (const auto& name : stages) {
    Table table{.head = stage_row_names(), .rows = {}};
    for (size_t i = 0; i < runs.size(); ++i)
      for (const auto& stage : runs[i].record.stages) {
        if (stage.name != name) continue;
        table.rows.push_back(stage_row(runs[i], stage));
        table.rows.back().front() = names[i];
      }
    html += "<h3>Stage " + html_escaped(name) + "</h3>\n" + table_html(turned(table)) +
            other_losses(runs, names, name);
  }
  return html;
}

std::string weights_of(const RunRecord& run) {
  std::string html;
  for (const auto& stage : run.stages)
    if (stage.checkpoint) html += weight_facts(stage);
  if (html.empty()) return paragraph("There is no checkpoint yet.");
  return html + note(
                    "The newest checkpoint of each stage. Its manifest holds a SHA-256 of every tensor; "
                    "`pixart inspect FOLDER --verify` compares them. `pixart report --hash-weights` adds "
                    "SHA-256 of the whole files.");
}

std::string remarks_of(const RunRecord& run) {
  if (run.remarks.empty()) return "";
  std::string html = "<ul class=\"remarks\">\n";
  for (const auto& remark : run.remarks) html += "<li>" + html_escaped(remark) + "</li>\n";
  return html + "</ul>\n";
}

}  // namespace pixart::report
