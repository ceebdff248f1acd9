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
void add_labelled(const fs::path& root, const std::vector<ListedImage>& images, Listing& listing,
                  Problems& problems) {
  const auto& classes = listing.class_names;
  std::vector<std::string> stray, empty;
  std::set<int64_t> filled;
  for (const auto& image : images) {
    const size_t slash = image.key.find('/');
    if (slash == std::string::npos) {
      stray.push_back(image.key);
      continue;
    }
    const auto found = std::lower_bound(classes.begin(), classes.end(), image.key.substr(0, slash));
    std::string caption = *found;
    std::replace(caption.begin(), caption.end(), '_', ' ');
    add_image(root, image, listing);
    Row& row = listing.records.back().row;
    row.label = found - classes.begin();
    row.captions.push_back({.name = "caption", .text = std::move(caption)});
    filled.insert(row.label);
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

std::unique_ptr<Dataset> open_class_folder(const SourceConfig& config) {
  require_folder(config);
  Problems problems;
  Listing listing{.type = "class_folder", .class_names = list_folders(config.path)};
  Links links(config, {config.path});
  const auto images = list_images(config.path, "", links, problems);
  links.add_to(problems);
  if (listing.class_names.empty())
    problems.add("there are no sub-folders; type: class_folder needs one per class");
  add_labelled(config.path, images, listing, problems);
  problems.throw_if_any(subject_of(config));
  return make_dataset(config, std::move(listing));
}

}  // namespace pixart::data
