#include "listing.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "pixart/base/words.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

bool is_picture_name(const fs::path& path) {
  static constexpr std::array<std::string_view, 4> kExtensions = {".png", ".jpg", ".jpeg", ".webp"};
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Whether following the link at `path` would lead to a folder that holds it.
bool leads_back(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return false;
  const fs::path target = fs::canonical(path, error), here = fs::canonical(path.parent_path(), error);
  const auto [unmatched, unused] = std::mismatch(target.begin(), target.end(), here.begin(), here.end());
  return !error && unmatched == target.end();
}

struct Walk {
  const fs::path& root;
  std::vector<ListedPicture> found = {};
  std::vector<std::string> unlisted = {}, unusable = {};  // folders; pictures that are no files or empty

  void take(const fs::directory_entry& entry) {
    std::error_code error;
    std::string key = entry.path().lexically_relative(root).generic_string();
    const uint64_t bytes = entry.is_regular_file(error) && !error ? uint64_t(entry.file_size(error)) : 0;
    if (error || bytes == 0)
      unusable.push_back(std::move(key));
    else
      found.push_back({std::move(key), bytes});
  }

  void enter(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      if (is_hidden(at->path())) continue;
      std::error_code no_status;
      if (at->is_directory(no_status)) {
        if (!leads_back(at->path())) enter(at->path());
      } else if (is_picture_name(at->path())) {
        take(*at);
      }
    }
    if (error)
      unlisted.push_back(folder.lexically_relative(root).generic_string() + " (" + error.message() + ")");
  }
};

}  // namespace

std::vector<ListedPicture> list_pictures(const fs::path& root, const std::string& below, Problems& problems) {
  Walk walk{root};
  walk.enter(below.empty() ? root : root / fs::path(below).lexically_normal());
  std::sort(walk.found.begin(), walk.found.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  std::sort(walk.unusable.begin(), walk.unusable.end());
  if (!walk.unlisted.empty())
    problems.add(
        fmt::format("{} folder(s) cannot be listed: {}", walk.unlisted.size(), name_some(walk.unlisted)));
  if (!walk.unusable.empty())
    problems.add(fmt::format("{} picture(s) are empty, broken links or no files: {}. Remove or replace them",
                             walk.unusable.size(), name_some(walk.unusable)));
  return std::move(walk.found);
}

std::vector<std::string> list_folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    if (at->is_directory(no_status) && !is_hidden(at->path()))
      names.push_back(at->path().filename().string());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

std::string name_some(const std::vector<std::string>& paths) {
  constexpr size_t kMost = 20;
  if (paths.size() <= kMost) return join(paths, ", ");
  const std::vector<std::string> first(paths.begin(), paths.begin() + kMost);
  return fmt::format("{} and {} more", join(first, ", "), paths.size() - kMost);
}

}  // namespace pixart::data
