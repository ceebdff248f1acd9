// What a killed process leaves in a folder. Nothing else is ever deleted: users keep files of their own,
// whose names may begin as ours do, in the folders that they name.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pixart {

// The names that the program gives in a folder, as regular expressions (ECMAScript) for the whole name.
struct OwnNames {
  std::vector<std::string> files = {};    // AtomicFile, write_file_atomically()
  std::vector<std::string> folders = {};  // StagedFolder, delete_folder()
  // What is a leftover under this very name, e.g. a lock.
  std::vector<std::string> passing_files = {}, passing_folders = {};
};

// Directly inside `folder`: .tmp-<own name>-<16 hex digits> and .del-<own name>-<16 hex digits>, files for
// `files` and folders for `folders`, and what is passing. A symbolic link of such a name is one, too. Sorted;
// empty where the folder cannot be read.
std::vector<std::filesystem::path> find_leftovers(const std::filesystem::path& folder, const OwnNames& own);

// Deletes these, as far as it can; of a symbolic link the link alone. Only for who may write there now: it
// would also delete what another process is writing.
void remove_leftovers(const std::filesystem::path& folder, const OwnNames& own);

}  // namespace pixart
