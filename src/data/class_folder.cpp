// A source with one sub-folder per class, as in ImageNet; the caption is the class name.
#include <algorithm>
#include <set>

#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "records.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// Takes labels from the first folder of each key. Images outside class folders and classes without images are
// problems.
void add_labelled(const fs::path& root, const ListedImages& images, Listing& listing, Problems& problems) {
  const auto& classes = listing.class_names;
  const uint32_t file = listing.file({.path = root, .form = FilePattern::kByKey});
  std::vector<ListedText> captions;
  for (std::string caption : classes) {
    std::replace(caption.begin(), caption.end(), '_', ' ');
    captions.push_back(listing.stored("caption", std::move(caption)));
  }
  std::vector<std::string> stray, empty;
  std::set<int64_t> filled;
  for (int64_t i = 0; i < images.size(); ++i) {
    const auto key = images.key(i);
    const size_t slash = key.find('/');
    if (slash == std::string::npos) {
      stray.emplace_back(key);
      continue;
    }
    const auto found = std::lower_bound(classes.begin(), classes.end(), key.substr(0, slash));
    const int64_t label = found - classes.begin();
    add_image(file, images, i, listing, {captions[size_t(label)]}, label);
    filled.insert(label);
  }
  for (size_t label = 0; label < classes.size(); ++label)
    if (filled.count(int64_t(label)) == 0) empty.push_back(classes[label]);
  if (!stray.empty())
    problems.add(
        fmt::format("{} image(s) are not in a class folder: {}. Move them into the folder of their class",
                    stray.size(), name_some(stray)));
  if (!empty.empty())
    problems.add(fmt::format("{} of {} class folders hold no image ({}): {}. Remove or fill them",
                             empty.size(), classes.size(), shown_image_endings(), name_some(empty)));
}

}  // namespace

Listing list_class_folder(const SourceConfig& config, ListingWatch& watch) {
  require_folder(config);
  Problems problems;
  watch.reads(config.path);
  Listing listing;
  listing.type = "class_folder", listing.class_names = list_folders(config.path);
  Links links(config, {config.path});
  auto images = list_images(config, "", "folders", links, watch, problems);
  look_at_images(config, /*is_last=*/true, watch, images);
  links.add_to(problems);
  if (listing.class_names.empty())
    problems.add("there are no sub-folders; type: class_folder needs one per class");
  add_labelled(config.path, images, listing, problems);
  problems.throw_if_any(subject_of(config));
  return listing;
}

}  // namespace pixart::data
