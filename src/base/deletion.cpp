#include "pixart/base/deletion.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <regex>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "temporary_name.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;
using IsOwn = std::function<bool(const fs::path& below)>;

bool is_real_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error));
}

void find_foreign(const fs::path& root, const fs::path& folder, const IsOwn& is_own, Names& found) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const fs::path below = at->path().lexically_relative(root);
    if (is_real_folder(at->path()))
      find_foreign(root, at->path(), is_own, found);
    else if (fs::is_other(at->symlink_status()) || !is_own(below))
      found.push_back(below.string());
  }
  if (error)
    throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()), ExitCode::kStorage);
}

Names entries_but(const fs::path& folder, const IsOwn& is_own) {
  Names found;
  if (is_real_folder(folder)) find_foreign(folder, folder, is_own, found);
  std::sort(found.begin(), found.end());
  return found;
}

// The path of the file for which a temporary file was made, or `below` itself.
fs::path final_path(const fs::path& below) {
  const std::string made_for = own_name(below.filename());
  return made_for.empty() ? below : below.parent_path() / made_for;
}

}  // namespace

Names all_entries(const fs::path& folder) {
  return entries_but(folder, [](const fs::path&) { return false; });
}

ForeignEntries all_but(Names own) {
  std::vector<std::regex> patterns;
  for (const auto& pattern : own) patterns.emplace_back(pattern);
  return [patterns](const fs::path& folder) {
    return entries_but(folder, [&patterns](const fs::path& below) {
      const std::string name = final_path(below).generic_string();
      return std::any_of(patterns.begin(), patterns.end(),
                         [&](const std::regex& pattern) { return std::regex_match(name, pattern); });
    });
  };
}

bool delete_file(const fs::path& file) {
  std::error_code error;
  const auto status = fs::symlink_status(file, error);
  if (!fs::exists(status)) return !error || status.type() == fs::file_type::not_found;
  if (!fs::is_regular_file(status) && !fs::is_symlink(status)) return false;
  return ::unlink(file.c_str()) == 0 || errno == ENOENT;
}

bool delete_empty_folder(const fs::path& folder) { return ::rmdir(folder.c_str()) == 0 || errno == ENOENT; }

bool delete_tree(const fs::path& folder, const ForeignEntries& foreign) {
  if (!is_real_folder(folder)) return delete_file(folder);
  try {
    if (!foreign(folder).empty()) return false;
  } catch (const UserError&) {
    return false;
  }
  std::error_code error;
  fs::remove_all(folder, error);
  return !error;
}

void delete_folder(const fs::path& folder, const ForeignEntries& foreign) {
  require_no_foreign(folder, foreign);
  const fs::path parent = folder.has_parent_path() ? folder.parent_path() : fs::path(".");
  const fs::path doomed = folder.parent_path() / temporary_name(folder.filename(), kDeletedPrefix);
  if (::rename(folder.c_str(), doomed.c_str()) != 0)
    throw UserError(fmt::format("cannot rename to {}: {}.", doomed.string(), std::strerror(errno)),
                    ExitCode::kStorage);
  sync_path(parent);
  delete_tree(doomed, foreign);  // what cannot be deleted now is a leftover, see remove_leftovers()
}

void require_no_foreign(const fs::path& folder, const ForeignEntries& foreign) {
  if (!is_real_folder(folder)) return;
  const auto found = foreign(folder);
  if (found.empty()) return;
  throw UserError(fmt::format("{} has files that pixart did not write, and is neither deleted nor replaced: "
                              "{}. Move them away, or choose another name.",
                              folder.string(), name_some(found)),
                  ExitCode::kStorage);
}

}  // namespace pixart
