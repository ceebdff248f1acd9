#include "pixart/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/config/config.h"

namespace pixart::train {
namespace fs = std::filesystem;

RunLock::RunLock(const RunFolder& folder) {
  create_folders(folder.root);
  const fs::path path = folder.root / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw UserError(fmt::format("cannot open {}: {}. Is the run folder on a writable disk?", path.string(),
                                std::strerror(errno)),
                    ExitCode::kStorage);
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    char owner[256] = {};
    const ssize_t length = ::pread(descriptor_, owner, sizeof(owner) - 1, 0);
    ::close(descriptor_);
    throw UserError(fmt::format("run folder {} is in use by {}. Wait for it, stop it, or give this run "
                                "another folder (--set run=FOLDER).",
                                folder.root.string(), length > 0 ? owner : "another process"),
                    ExitCode::kFolderOwned);
  }
  const std::string owner =
      fmt::format("process {} on {} since {}", process_id(), host_name(), utc_time_now());
  if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, owner.data(), owner.size(), 0) < 0) {
    throw UserError(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)),
                    ExitCode::kStorage);
  }
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

namespace {

void check_changes(const RunFolder& folder, const RunConfig& config,
                   const std::vector<std::string>& allowed) {
  const RunConfig was = read_run_config(folder.config());
  Problems problems;
  for (const auto& change : config::compare(was, config)) {
    if (change.on_resume == OnResume::kFree) continue;
    const bool permitted = std::find(allowed.begin(), allowed.end(), change.path) != allowed.end();
    if (change.on_resume == OnResume::kNeedsPermission && permitted) {
      log::warning("{} changes from {} to {} in a run that has begun", change.path, change.was, change.is);
    } else if (change.on_resume == OnResume::kNeedsPermission) {
      problems.add(fmt::format("{} was {}, is {} (add --allow-change {} if that is meant)", change.path,
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
  if (fs::exists(folder.config())) check_changes(folder, config, allowed);
  remove_leftovers(folder.root);
  write_file_atomically(folder.config(), config::to_yaml(config));
}

}  // namespace pixart::train
