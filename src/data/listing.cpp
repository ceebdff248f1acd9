#include "listing.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "file_ending.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// Of the kinds of images that no decoder here reads.
constexpr std::array<std::string_view, 32> kOtherEndings = {
    ".heic", ".heif", ".hif", ".avifs", ".jxl", ".jp2", ".j2k", ".jpx", ".jxr", ".hdp", ".svg",
    ".ico",  ".icns", ".psd", ".psb",   ".xcf", ".tga", ".dds", ".exr", ".hdr", ".pcx", ".pnm",
    ".ppm",  ".pgm",  ".pbm", ".pfm",   ".qoi", ".dng", ".cr2", ".nef", ".arw", ".apng"};

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
  Links& links;
  ListingWatch& watch;
  std::vector<ListedImage> found = {};
  std::vector<std::string> unlisted = {};  // folders
  std::vector<std::string> others = {};    // images of kinds that are not read

  void take(const fs::directory_entry& entry) {
    ListedImage image{.key = entry.path().lexically_relative(root).generic_string()};
    std::error_code error;
    const bool exists = entry.exists(error);
    check_machine(entry.path(), error.value());
    if (!exists) {
      image.fault = {Reason::kMissingFile, "a broken link"};
    } else if (!entry.is_regular_file(error)) {
      image.fault = {Reason::kUnreadableFile, "it is not a regular file"};
    } else {
      image.bytes = uint64_t(entry.file_size(error));
      check_machine(entry.path(), error.value());
      if (error) image.fault = {Reason::kUnreadableFile, error.message()};
      if (!error && image.bytes == 0) image.fault = {Reason::kEmptyFile, "the file is empty"};
    }
    found.push_back(std::move(image));
    watch.found();
  }

  void enter(const fs::path& folder) {
    watch.reads(folder);
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      if (is_hidden(at->path())) continue;
      std::error_code no_status;
      const bool is_folder = at->is_directory(no_status);
      check_machine(at->path(), no_status.value());
      const bool is_listed = is_folder || has_image_ending(at->path());
      if (is_listed && at->is_symlink(no_status) && !links.admit(at->path())) continue;
      if (has_image_ending(at->path())) {
        take(*at);
      } else if (is_folder) {
        if (!leads_back(at->path())) enter(at->path());
      } else if (contains(kOtherEndings, std::string_view(file_ending(at->path())))) {
        others.push_back(at->path().lexically_relative(root).generic_string());
      }
    }
    check_machine(folder, error.value());
    if (error)
      unlisted.push_back(folder.lexically_relative(root).generic_string() + " (" + error.message() + ")");
  }
};

}  // namespace

std::vector<ListedImage> list_images(const fs::path& root, const std::string& below, Links& links,
                                     ListingWatch& watch, Problems& problems) {
  const fs::path folder = below.empty() ? root : root / fs::path(below).lexically_normal();
  if (!below.empty() && !links.admit(folder)) return {};
  Walk walk{root, links, watch};
  retry_machine_faults("list " + folder.string(), [&] {
    walk.found.clear(), walk.unlisted.clear(), walk.others.clear();
    walk.enter(folder);
  });
  std::sort(walk.found.begin(), walk.found.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  if (!walk.unlisted.empty())
    problems.add(fmt::format("cannot list {} folder(s): {}", walk.unlisted.size(), name_some(walk.unlisted)));
  if (!walk.others.empty()) {
    std::sort(walk.others.begin(), walk.others.end());
    log::warning(
        "{}: {} file(s) of other kinds of images are not listed: {}. To use them, convert them to one of {}.",
        folder.string(), walk.others.size(), name_some(walk.others), shown_image_endings());
  }
  return std::move(walk.found);
}

std::string shown_image_endings() {
  std::vector<std::string> names;
  for (const auto ending : formats::image_endings()) names.push_back(fmt::format(".{}", ending));
  return join(names, " ");
}

void add_image(uint32_t file, const ListedImage& image, Listing& listing, std::vector<ListedText> captions,
               int64_t label) {
  listing.add({.key = image.key,
               .captions = std::move(captions),
               .label = label,
               .file = file,
               .bytes = image.bytes});
  if (image.fault) listing.reject(image.fault->reason, image.fault->detail);
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

}  // namespace pixart::data
