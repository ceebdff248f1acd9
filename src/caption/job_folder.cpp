#include "job_folder.h"

#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"

namespace pixart::caption {
namespace fs = std::filesystem;

namespace {

std::string pattern_of(const std::string& name) {
  std::string pattern;
  for (const char c : name) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
  return pattern;
}

}  // namespace

FileLock lock_job_folder(const fs::path& folder, const std::vector<std::string>& files,
                         const std::string& command) {
  create_folders(folder);
  auto lock = FileLock::try_lock(folder / ".lock");
  if (!lock)
    throw UserError(fmt::format("another process writes answers into {}.", folder.string()),
                    ExitCode::kFolderOwned);
  OwnNames own;
  for (const auto& name : files) {
    own.files.push_back(pattern_of(name));
    if (!fs::exists(folder / kJobs) && fs::exists(folder / name))
      throw UserError(
          fmt::format("{} was not written by `pixart {}` ({} is missing next to it) and is not "
                      "replaced. Remove it, or choose another --out.",
                      (folder / name).string(), command, kJobs));
  }
  remove_leftovers(folder, own);
  return std::move(*lock);
}

}  // namespace pixart::caption
