// The folder of a job: one process writes there, and replaces no file that the command has not made.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/file_lock.h"

namespace pixart::caption {

inline constexpr const char* kJobs = "jobs.sqlite";

// Makes the folder and locks it. `files`: what the command writes there next to the jobs. Removes what killed processes
// left of them. Throws UserError (kFolderOwned, or kBadInput for files of others).
FileLock lock_job_folder(const std::filesystem::path& folder, const std::vector<std::string>& files,
                         const std::string& command);

}  // namespace pixart::caption
