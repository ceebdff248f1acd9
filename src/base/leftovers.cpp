#include "pixart/base/leftovers.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <regex>

#include "pixart/base/error.h"
#include "temporary_name.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

constexpr size_t kNonceDigits = 16;

bool matches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return std::regex_match(name, std::regex(pattern)); });
}

bool holds_only_own(const fs::path& folder, const OwnNames& own) {
  try {
    return own.in_folders(folder).empty();
  } catch (const UserError&) {  // it cannot be listed
    return false;
  }
}

// Only a path for which this returns true is deleted.
bool is_leftover(const fs::path& path, const OwnNames& own) {
  const std::string name = path.filename(), made_for = own_name(name);
  const auto fits = [&](const auto& patterns, const auto& passing) {
    return (!made_for.empty() && matches(patterns, made_for)) || matches(passing, name);
  };
  const auto is_file = [&] {
    return fits(own.files, own.passing_files) || (own.is_file && !made_for.empty() && own.is_file(made_for));
  };
  std::error_code error;
  switch (fs::symlink_status(path, error).type()) {
    case fs::file_type::regular:
      return is_file();
    case fs::file_type::directory:
      return fits(own.folders, own.passing_folders) && holds_only_own(path, own);
    case fs::file_type::symlink:
      return is_file() || fits(own.folders, own.passing_folders);
    default:
      return false;
  }
}

}  // namespace

// The digits are random because process ids repeat: every container has a process 1, and a shared disk has
// many hosts.
std::string temporary_name(const std::string& own, std::string_view prefix) {
  std::random_device device;
  const uint64_t nonce = uint64_t(device()) << 32 | device();
  return fmt::format("{}{}-{:0{}x}", prefix, own, nonce, kNonceDigits);
}

std::string own_name(const std::string& name) {
  for (const auto prefix : {kTemporaryPrefix, kDeletedPrefix}) {
    if (!name.starts_with(prefix) || name.size() < prefix.size() + 2 + kNonceDigits) continue;
    const size_t dash = name.size() - kNonceDigits - 1;
    const bool is_nonce = name.find_first_not_of("0123456789abcdef", dash + 1) == std::string::npos;
    if (name[dash] == '-' && is_nonce) return name.substr(prefix.size(), dash - prefix.size());
  }
  return {};
}

std::vector<fs::path> find_leftovers(const fs::path& folder, const OwnNames& own) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (is_leftover(at->path(), own)) found.push_back(at->path());
  std::sort(found.begin(), found.end());
  return found;
}

void remove_leftovers(const fs::path& folder, const OwnNames& own) {
  for (const auto& path : find_leftovers(folder, own)) delete_tree(path, own.in_folders);
}

}  // namespace pixart
