// Files and folders that a killed process leaves. Nothing else is deleted: in the folders that users name,
// they keep files of their own, and some of these names may begin like the program's.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/deletion.h"

namespace pixart {

// The names that the program uses in a folder, as regular expressions (ECMAScript) that match the whole name.
struct OwnNames {
  std::vector<std::string> files = {};      // AtomicFile, write_file_atomically()
  std::vector<std::string> folders = {};    // StagedFolder, delete_folder()
  ForeignEntries in_folders = all_entries;  // a folder with such entries is not deleted
  // Names that are leftovers without a prefix or digits, e.g. a lock.
  std::vector<std::string> passing_files = {}, passing_folders = {};
  std::function<bool(const std::string& name)> is_file = {};  // true for further names of `files`
};

// The leftovers directly inside `folder`: .tmp-<own name>-<16 hex digits> and .del-<own name>-<16 hex digits>
// (files for `files` and `is_file`, folders for `folders`), and the passing files and folders. A symbolic link with such a
// name is a leftover, too. Sorted; empty if the folder cannot be read.
std::vector<std::filesystem::path> find_leftovers(const std::filesystem::path& folder, const OwnNames& own);

// Deletes the leftovers that it can delete; of a symbolic link only the link. Call it only if no other
// process may be writing to the folder: it would delete the files of that process, too.
void remove_leftovers(const std::filesystem::path& folder, const OwnNames& own);

}  // namespace pixart
