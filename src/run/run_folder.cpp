#include "pixart/run/run_folder.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/metrics.h"

namespace pixart::run {
namespace fs = std::filesystem;

namespace {

// An allowed path may be a key, or a section that appears or vanishes as a whole.
void check_allowed(const RunConfig& was, const RunConfig& is, const std::vector<std::string>& allowed) {
  std::vector<std::string> known;
  for (const RunConfig* config : {&was, &is})
    for (const auto& value : config::values(*config)) known.push_back(value.path);
  Problems problems;
  for (const auto& path : allowed) {
    const bool is_known = std::any_of(known.begin(), known.end(), [&](const std::string& key) {
      return key == path || key.starts_with(path + ".");
    });
    if (!is_known) problems.add(fmt::format("unknown key {}.{}", path, did_you_mean(path, known)));
  }
  problems.throw_if_any("--allow-change");
}

// What the stages that have begun use. The rest of a run file may change: nothing was computed from it.
class Used {
 public:
  Used(const RunFolder& folder, const RunConfig& was) : folder_(folder), was_(was) {
    for (const auto& stage : was.stages)
      if (has_begun(folder, stage.name)) begun_.push_back(stage);
  }

  bool is_used(const config::Change& change, const RunConfig& is) const {
    const auto [section, rest] = split(change.path);
    if (section == "stages") return rest.empty() ? is_order_changed(is) : is_begun(split(rest).first);
    if (section == "sources") return !rest.empty() && is_source_used(split(rest).first);
    if (section == "text_encoder") return reads_captions() || has_random_encoder();
    if (section == "transformer") return any([](const auto& stage) { return stage.info().reads_latents; });
    if (section == "features") return !begun_.empty() || fs::exists(folder_.features());
    if (section == "sample_order") return !begun_.empty();
    return !begun_.empty() || has_random_encoder();
  }

 private:
  static std::pair<std::string, std::string> split(const std::string& path) {
    const size_t point = path.find('.');
    return {path.substr(0, point), point == std::string::npos ? "" : path.substr(point + 1)};
  }
  bool any(const std::function<bool(const StageConfig&)>& condition) const {
    return std::any_of(begun_.begin(), begun_.end(), condition);
  }
  bool is_begun(const std::string& name) const {
    return any([&](const auto& stage) { return stage.name == name; });
  }
  bool is_order_changed(const RunConfig& is) const {
    std::vector<std::string> order;
    for (const auto& stage : is.stages)
      if (is_begun(stage.name)) order.push_back(stage.name);
    return order != names_of(begun_);
  }
  bool is_source_used(const std::string& name) const {
    return any([&](const StageConfig& stage) {
      const auto parts = stage.parts();
      return stage.validation.source == name ||
             std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return part.source == name; });
    });
  }
  bool reads_captions() const {
    return any([](const auto& stage) { return stage.info().reads_captions; });
  }
  // Made from seed, captions and the keys of text_encoder, perhaps before a stage begins.
  bool has_random_encoder() const {
    return !was_.text_encoder.path && fs::exists(folder_.text_encoder() / "config.json");
  }

  const RunFolder& folder_;
  const RunConfig& was_;
  std::vector<StageConfig> begun_;
};

std::string refusal(const config::Change& change) {
  const std::string what = fmt::format("{} was {}, is {}", change.path, change.was, change.is);
  if (change.on_resume == OnResume::kNeedsPermission)
    return fmt::format("{} (with --allow-change {}: {})", what, change.path, change.effect);
  return what + " (cannot change: a stage that uses it has begun)";
}

RunChanges check_changes(const RunFolder& folder, const RunConfig& was, const RunConfig& config,
                         const std::vector<std::string>& allowed) {
  check_allowed(was, config, allowed);
  RunChanges result;
  const Used used(folder, was);
  const auto changes = config::compare(was, config);
  for (const auto& change : changes) {
    if (change.on_resume == OnResume::kFree || !used.is_used(change, config)) continue;
    if (change.on_resume == OnResume::kByContent)
      result.moved.push_back(change);
    else if (change.on_resume == OnResume::kNeedsPermission && contains(allowed, change.path))
      log::warning("{} changes from {} to {}: {}", change.path, change.was, change.is, change.effect);
    else
      result.refused.push_back(change);
  }
  return result;
}

// Before run.yaml is written with the new number of steps. Returns the keys of the problems.
std::vector<std::string> add_step_problems(const RunFolder& folder, const RunConfig& config,
                                           Problems& problems) {
  std::vector<std::string> keys;
  for (const auto& stage : config.stages) {
    const auto newest = newest_named_checkpoint(folder.checkpoints(stage.name));
    if (!newest || newest->step <= stage.steps) continue;
    keys.push_back(fmt::format("stages.{}.steps", stage.name));
    problems.add(fmt::format("{0} is {1}, but stage {2} is already at step {3}: at least {3} is needed",
                             keys.back(), stage.steps, stage.name, newest->step));
  }
  return keys;
}

// By-content keys may be allowed although they have not changed: their content has.
void warn_of_unchanged(const RunConfig& was, const RunConfig& config,
                       const std::vector<std::string>& allowed) {
  const auto changes = config::compare(was, config);
  std::vector<std::string> places;
  for (const auto& key : config::keys<RunConfig>())
    if (key.on_resume == OnResume::kByContent) places.push_back(key.path);
  for (const auto& value : config::values(config)) {
    const bool has_changed = std::any_of(changes.begin(), changes.end(),
                                         [&](const auto& change) { return change.path == value.path; });
    if (contains(allowed, value.path) && !has_changed && !contains(places, value.key))
      log::warning("--allow-change {}: this key has not changed", value.path);
  }
}

// The config of the run in the folder, which names the order of its samples.
RunConfig recorded(const RunFolder& folder) {
  RunConfig was = read_run_config(folder.config());
  if (!was.sample_order) was.sample_order = int64_t(data::OrderVersion::kListed);
  return was;
}

RunConfig with_sample_order(const RunFolder& folder, RunConfig config) {
  config.sample_order = sample_order_of(folder, config);
  return config;
}

// A run that has begun wrote the file itself. Before that, it may be one that the user wrote (run: .).
void require_own_config(const RunFolder& folder) {
  if (fs::exists(folder.events())) return;
  const std::string text = read_file(folder.config());
  if (text == config::to_yaml(read_run_config(folder.config()))) return;
  throw UserError(
      fmt::format("{} was not written by pixart and is not replaced: each run writes its resolved "
                  "configuration under this name. Choose another folder with --set run=FOLDER, or "
                  "rename the file.",
                  folder.config().string()));
}

bool has_entries(const fs::path& folder, const std::string& prefix = "") {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with(prefix)) return true;
  return false;
}

// Whether a file is empty or has lines of a run: a start that was refused may have written some.
bool has_own_lines(const fs::path& file, std::string_view begin) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return false;
  std::string bytes(begin.size(), '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(bytes.data(), std::streamsize(bytes.size()));
  return stream.gcount() == 0 || bytes == begin;
}

// What training writes before its first checkpoint, but never before run.yaml.
std::vector<fs::path> results_without_run(const RunFolder& folder, const std::vector<StageConfig>& stages) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& [file, begin] :
       {std::pair(folder.events(), "{\"stage\":\""), std::pair(folder.telemetry(), "{\"time\":\"")})
    if (fs::exists(file, error) && !has_own_lines(file, begin)) found.push_back(file);
  for (const auto& stage : stages) {
    if (!list_checkpoints(folder.checkpoints(stage.name)).empty()) return {};  // run.yaml was lost
    for (const auto& results :
         {folder.samples(stage.name), folder.metrics(stage.name), folder.power_ema(stage.name)})
      if (has_entries(results, "step-")) found.push_back(results);
    if (has_entries(folder.lora(stage.name))) found.push_back(folder.lora(stage.name));
  }
  return found;
}

// What a kill left of files that only the folder's owner writes. The text encoder has its own lock; other
// processes write the features.
void remove_own_leftovers(const RunFolder& folder, const RunConfig& config) {
  remove_leftovers(folder.root,
                   {.files = {R"(run\.yaml)", R"(events\.jsonl)", R"(\.owner)"},
                    .folders = {"autoencoder"},
                    .in_folders = all_but({R"(config\.json)", R"(diffusion_pytorch_model\.safetensors)"})});
  for (const auto& features :
       {folder.prompts(), folder.metric_features() / "prompts", folder.metric_features() / "references"})
    remove_leftovers(features, {.files = {R"([0-9a-f]{64}\.safetensors)"}});
  for (const auto& source : config.sources)
    remove_leftovers(folder.quarantine(source.name).parent_path(), {.files = {source.name + R"(\.jsonl)"}});
  for (const auto& stage : config.stages) {
    remove_leftovers(folder.excluded(stage.name).parent_path(), {.files = {stage.name + R"(\.jsonl)"}});
    remove_leftovers(folder.samples(stage.name), {.files = {R"(step-[0-9]{8,}\.png)"}});
    remove_leftovers(folder.power_ema(stage.name), {.files = {R"(step-[0-9]{8,}\.safetensors)"}});
    remove_leftovers(folder.metrics(stage.name), {.files = {R"(step-[0-9]{8,}\.json)"}});
    remove_leftovers(folder.lora(stage.name).parent_path(),
                     {.folders = {stage.name},
                      .in_folders = all_but({R"(adapter_config\.json)", R"(adapter_model\.safetensors)",
                                             R"(pytorch_lora_weights\.safetensors)"})});
  }
}

}  // namespace

bool has_begun(const RunFolder& folder, const std::string& stage) {
  return !list_checkpoints(folder.checkpoints(stage)).empty() ||
         lines_of(folder.events(), stage).last_step >= 0;
}

int64_t sample_order_of(const RunFolder& folder, const RunConfig& config) {
  if (config.sample_order) return *config.sample_order;
  return fs::exists(folder.config()) ? *recorded(folder).sample_order : int64_t(data::kNewestOrder);
}

RunChanges check_run_folder(const RunFolder& folder, const RunConfig& given,
                            const std::vector<std::string>& allowed, Problems& problems) {
  const auto steps = add_step_problems(folder, given, problems);
  if (!fs::exists(folder.config())) {
    check_allowed(given, given, allowed);
    return {};
  }
  require_own_config(folder);
  const RunConfig was = recorded(folder), config = with_sample_order(folder, given);
  auto changes = check_changes(folder, was, config, allowed);
  for (const auto& change : changes.refused)
    if (!contains(steps, change.path)) problems.add(refusal(change));
  warn_of_unchanged(was, config, allowed);
  return changes;
}

void require_no_foreign_results(const RunFolder& folder, const std::vector<StageConfig>& stages) {
  std::vector<fs::path> foreign;
  if (!fs::exists(folder.config())) foreign = results_without_run(folder, stages);
  bool trains_autoencoder = false, has_one = false;
  for (const auto& stage : stages)
    if (stage.info().trains_autoencoder()) {
      trains_autoencoder = true;
      has_one = has_one || has_begun(folder, stage.name);
    }
  if (trains_autoencoder && !has_one && has_entries(folder.autoencoder()))
    foreign.push_back(folder.autoencoder());
  Problems problems;
  for (const auto& path : foreign)
    problems.add(path.lexically_relative(folder.root).string() + " is there already");
  problems.throw_if_any(fmt::format(
      "{} has what this run would write, and no run of it wrote that. Choose another folder with "
      "--set run=FOLDER, or move these away; a trained autoencoder is named with autoencoder.path",
      folder.root.string()));
}

void open_run_folder(const RunFolder& folder, const RunConfig& config) {
  remove_own_leftovers(folder, config);
  write_file_atomically(folder.config(), config::to_yaml(with_sample_order(folder, config)));
}

}  // namespace pixart::run
