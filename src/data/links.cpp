#include "links.h"

#include <algorithm>

#include "pixart/base/words.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

bool is_below(const fs::path& root, const fs::path& path) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

Links::Links(const SourceConfig& config, std::vector<fs::path> roots)
    : config_(config), shown_roots_(std::move(roots)) {
  for (auto& root : shown_roots_) {
    if (root.empty()) root = ".";
    std::error_code error;
    const fs::path real = fs::canonical(root, error);
    if (!error) roots_.push_back(real);
  }
}

bool Links::is_inside(const fs::path& real) const {
  return std::any_of(roots_.begin(), roots_.end(),
                     [&](const fs::path& root) { return is_below(root, real); });
}

// The links in the path of a folder are followed once for each folder, not for each file in it.
bool Links::is_folder_inside(const fs::path& folder) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto known = folders_.find(folder); known != folders_.end()) return known->second;
  }
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  const bool inside = error || is_inside(real);
  const std::scoped_lock lock(mutex_);
  return folders_.emplace(folder, inside).first->second;
}

bool Links::admit(const fs::path& path) {
  std::error_code error;
  return admit(path, !config_.follow_links && fs::is_symlink(fs::symlink_status(path, error)));
}

bool Links::admit(const fs::path& path, bool is_link) {
  if (config_.follow_links) return true;
  std::error_code error;
  if (!is_link && is_folder_inside(folder_of(path))) return true;
  const fs::path real = fs::canonical(path, error);
  if (error || is_inside(real)) return true;
  const std::scoped_lock lock(mutex_);
  refused_.emplace(path.string(), real.string());
  return false;
}

void Links::add_to(Problems& problems) const {
  const std::scoped_lock lock(mutex_);
  if (refused_.empty()) return;
  std::vector<std::string> links;
  for (const auto& [path, real] : refused_) {
    fs::path shown = path;
    for (const auto& root : shown_roots_)
      if (is_below(root.lexically_normal(), shown.lexically_normal())) shown = shown.lexically_relative(root);
    links.push_back(shown.string() + " -> " + real);
  }
  problems.add(fmt::format(
      "{} symbolic link(s) lead out of the source's folder, so any file of this machine could "
      "become a part of the data: {}. If you trust them (e.g. the cache of Hugging Face consists of "
      "such links), set follow_links: true for this source; a command takes --set follow_links=true",
      links.size(), name_some(links)));
}

void Links::throw_if_any() const {
  Problems problems;
  add_to(problems);
  problems.throw_if_any(subject_of(config_));
}

}  // namespace pixart::data
