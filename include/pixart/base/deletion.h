// The only functions that delete. Users keep files of their own in the folders that they name, so what cannot
// be proven to be the program's by name, content and place stays.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pixart {

// Lists what in a folder is not the program's, as paths below it; a folder with a slash at its end. Throws
// UserError(kStorage) if the folder cannot be listed.
using ForeignEntries = std::function<std::vector<std::string>(const std::filesystem::path& folder)>;

// Everything in a folder is foreign, except folders that are empty.
std::vector<std::string> all_entries(const std::filesystem::path& folder);

// The same, except files and links whose path below the folder matches one of the regular expressions
// (ECMAScript, whole path), and the temporary files of such files (leftovers.h). Links are not followed.
ForeignEntries all_but(std::vector<std::string> own);

// Deletes a file or a symbolic link whose name is the program's; nothing else. Returns whether it is gone.
bool delete_file(const std::filesystem::path& file);

// Deletes a folder without any entries; one that another process fills stays. Returns whether it is gone.
bool delete_empty_folder(const std::filesystem::path& folder);

// Deletes a folder without foreign entries; of a symbolic link only the link. Returns whether it is gone.
bool delete_tree(const std::filesystem::path& folder, const ForeignEntries& foreign);

// Deletes a folder that must never be seen half-deleted: first renames it, durably, to .del-<name>-<nonce>.
// Throws UserError(kStorage) if the folder still has its old name, also because of foreign entries.
void delete_folder(const std::filesystem::path& folder, const ForeignEntries& foreign);

// Throws UserError(kStorage) if `folder` exists and has foreign entries.
void require_no_foreign(const std::filesystem::path& folder, const ForeignEntries& foreign);

}  // namespace pixart
