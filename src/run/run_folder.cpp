#include "pixart/run/run_folder.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"

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

void check_changes(const RunFolder& folder, const RunConfig& config,
                   const std::vector<std::string>& allowed) {
  const RunConfig was = read_run_config(folder.config());
  check_allowed(was, config, allowed);
  Problems problems;
  const auto changes = config::compare(was, config);
  for (const auto& path : allowed)
    if (std::none_of(changes.begin(), changes.end(), [&](const auto& change) { return change.path == path; }))
      log::warning("--allow-change {}: this key has not changed", path);
  for (const auto& change : changes) {
    if (change.on_resume == OnResume::kFree) continue;
    const bool permitted = contains(allowed, change.path);
    if (change.on_resume == OnResume::kNeedsPermission && permitted) {
      log::warning("{} changes from {} to {} in a run that has begun", change.path, change.was, change.is);
    } else if (change.on_resume == OnResume::kNeedsPermission) {
      problems.add(fmt::format("{} was {}, is {} (to allow it, add --allow-change {})", change.path,
                               change.was, change.is, change.path));
    } else {
      problems.add(fmt::format("{} was {}, is {} (cannot change in a run that has begun)", change.path,
                               change.was, change.is));
    }
  }
  problems.throw_if_any(fmt::format(
      "{} holds a run with another configuration. Undo the change, or start a new run with --set run=FOLDER",
      folder.root.string()));
}

}  // namespace

void open_run_folder(const RunFolder& folder, const RunConfig& config,
                     const std::vector<std::string>& allowed) {
  if (fs::exists(folder.config()))
    check_changes(folder, config, allowed);
  else
    check_allowed(config, config, allowed);
  // Only files of the folder's owner. The text encoder has its own lock; other processes write the rest.
  remove_leftovers(folder.root,
                   {.files = {R"(run\.yaml)", R"(events\.jsonl)", R"(\.owner)"}, .folders = {"autoencoder"}});
  write_file_atomically(folder.config(), config::to_yaml(config));
}

}  // namespace pixart::run
