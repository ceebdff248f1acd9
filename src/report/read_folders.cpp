// Reads samples/, checkpoints/, quarantine/, excluded/ and features/.
#include <algorithm>
#include <regex>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/feature_set.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/safetensors.h"
#include "reading.h"

namespace pixart::report {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestManifest = uint64_t{64} << 20;
constexpr size_t kMostExamples = 5;

// The entries of a folder, sorted; empty if there is no folder.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> result;
  std::error_code error;
  for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator();
       at.increment(error))
    result.push_back(at->path());
  std::sort(result.begin(), result.end());
  return result;
}

// "step-00000200.png" with ".png" -> 200.
std::optional<int64_t> step_of(const fs::path& path, const std::string& extension) {
  static const std::regex pattern("^step-([0-9]{1,15})$");
  std::smatch match;
  const std::string stem = path.stem().string();
  if (path.extension() != extension || !std::regex_match(stem, match, pattern)) return std::nullopt;
  return std::stoll(match[1]);
}

CheckpointRecord read_checkpoint(const fs::path& folder, int64_t step, const fs::path& run,
                                 bool hash_weights) {
  CheckpointRecord record{.step = step, .folder = folder.lexically_relative(run).generic_string()};
  try {
    const auto manifest = json::parse(read_file(folder / "manifest.json", kLargestManifest));
    record.sha256 = text_in(manifest, "sha256");
    for (const auto& [name, entry] : manifest.at("files").items())
      record.files.push_back({.name = name, .bytes = entry.at("bytes").get<uint64_t>()});
    record.metadata = formats::read_safetensors_header(folder / "ema.safetensors").metadata;
    for (auto& file : record.files)
      if (hash_weights && (file.name == "ema.safetensors" || file.name == "model.safetensors"))
        file.sha256 = formats::sha256_of_file(folder / file.name);
  } catch (const json::exception&) {
    record.problem = "cannot read its manifest.json";
  } catch (const UserError& error) {
    record.problem = error.what();
  }
  return record;
}

FeatureRecord read_feature_set(const fs::path& folder) {
  const auto manifest = json::parse(read_file(folder / "manifest.json", kLargestManifest));
  FeatureRecord record{.folder = folder.filename().string(),
                       .kind = text_in(manifest, "kind"),
                       .source = text_in(manifest, "source"),
                       .rows = integer_in(manifest, "rows", 0),
                       .rejected = integer_in(manifest, "rejected", 0)};
  for (const auto& shard : manifest.at("shards")) record.bytes += shard.at("bytes").get<uint64_t>();
  for (const auto& [name, value] : manifest.at("inputs").items())
    if (value.is_primitive())  // others are of another program, and may be deep
      record.inputs.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  return record;
}

// Of stages that stage_of() does not add.
void remark_on_folders(RunRecord& run, const char* name, int64_t left_out) {
  if (left_out > 0)
    run.remarks.push_back(
        fmt::format("{} folder(s) of {} are left out: they are of stages after the first {}.", left_out, name,
                    kMostStages));
}

}  // namespace

void read_samples(RunRecord& run) {
  int64_t left_out = 0;
  for (const auto& folder : entries(run.folder / "samples"))
    for (const auto& file : entries(folder)) {
      const auto step = step_of(file, ".png");
      if (!step) continue;
      StageRecord* stage = stage_of(run, folder.filename().string());
      if (stage == nullptr) {
        ++left_out;
        break;
      }
      stage->samples.push_back({*step, file});
    }
  remark_on_folders(run, "samples", left_out);
  for (auto& stage : run.stages)
    std::stable_sort(stage.samples.begin(), stage.samples.end(),
                     [](const auto& a, const auto& b) { return a.step < b.step; });
}

void read_checkpoints(RunRecord& run, bool hash_weights) {
  int64_t left_out = 0;
  for (const auto& folder : entries(run.folder / "checkpoints")) {
    std::optional<std::pair<int64_t, fs::path>> newest;
    for (const auto& path : entries(folder))
      if (const auto step = step_of(path, ""); step && (!newest || *step > newest->first))
        newest.emplace(*step, path);
    if (!newest) continue;
    StageRecord* stage = stage_of(run, folder.filename().string());
    if (stage == nullptr) {
      ++left_out;
      continue;
    }
    stage->checkpoint = read_checkpoint(newest->second, newest->first, run.folder, hash_weights);
    stage->last_step = std::max(stage->last_step, double(newest->first));
  }
  remark_on_folders(run, "checkpoints", left_out);
}

void read_quarantine(RunRecord& run) {
  for (const auto& file : entries(run.folder / "quarantine")) {
    if (file.extension() != ".jsonl") continue;
    SourceRecord source{.name = file.stem().string()};
    std::set<int64_t> rows;  // several ranks may find damage in one row
    const auto count = for_each_json_line(file, [&](const json& line) {
      const auto row = line.find("row");
      if (row != line.end() && row->is_number_integer() && !rows.insert(row->get<int64_t>()).second) return;
      const std::string reason = text_in(line, "reason");
      ++source.rejected[reason.empty() ? "no reason given" : reason];
      if (source.examples.size() < kMostExamples)
        source.examples.push_back({text_in(line, "key"), reason, text_in(line, "detail")});
    });
    if (count.unreadable > 0 || count.is_cut)
      run.remarks.push_back(fmt::format("Some lines of quarantine/{} cannot be read and are left out.",
                                        file.filename().string()));
    run.sources.push_back(std::move(source));
  }
}

// Samples that a stage left out after a bad step are rejected samples of their source, each once.
void read_excluded(RunRecord& run) {
  std::set<std::pair<std::string, std::string>> known;  // source, key
  for (const auto& file : entries(run.folder / "excluded")) {
    if (file.extension() != ".jsonl") continue;
    const auto count = for_each_json_line(file, [&](const json& line) {
      const std::string name = text_in(line, "source"), key = text_in(line, "key");
      if (!known.emplace(name, key).second) return;
      auto source = std::find_if(run.sources.begin(), run.sources.end(),
                                 [&](const auto& one) { return one.name == name; });
      if (source == run.sources.end()) source = run.sources.insert(source, {.name = name});
      ++source->rejected["bad_step"];
      if (source->examples.size() < kMostExamples)
        source->examples.push_back(
            {key, "bad_step",
             fmt::format("step {}: {}", integer_in(line, "step", -1), text_in(line, "reason"))});
    });
    if (count.unreadable > 0 || count.is_cut)
      run.remarks.push_back(fmt::format("Some lines of excluded/{} cannot be read and are left out.",
                                        file.filename().string()));
  }
}

void read_features(RunRecord& run, const fs::path& folder) {
  for (const auto& set : entries(folder)) {
    std::error_code error;
    const bool is_in_use = set.extension() != data::kUpdateEnding && set.extension() != data::kFormerEnding;
    if (!is_in_use || !fs::exists(set / "manifest.json", error)) continue;
    try {
      run.features.push_back(read_feature_set(set));
    } catch (const json::exception&) {
      run.remarks.push_back(
          fmt::format("The manifest of the feature set {} cannot be read.", set.filename().string()));
    } catch (const UserError& problem) {
      run.remarks.push_back(problem.what());
    }
  }
}

}  // namespace pixart::report
