// One sub-folder per class, as ImageNet is laid out; the caption is the class name.
#include <algorithm>
#include <set>

#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

struct Entry {
  std::string key;
  int64_t label;
};

class ClassFolder : public Dataset {
 public:
  ClassFolder(fs::path root, std::vector<Entry> entries, std::vector<std::string> names,
              std::string fingerprint)
      : root_(std::move(root)),
        entries_(std::move(entries)),
        names_(std::move(names)),
        fingerprint_(std::move(fingerprint)) {}
  int64_t size() const override { return int64_t(entries_.size()); }
  Sample get(int64_t index) const override {
    const Entry& entry = at(index);
    return {.key = entry.key,
            .image = formats::load_image(root_ / entry.key),
            .caption = caption(index),
            .label = entry.label};
  }
  std::string caption(int64_t index) const override {
    std::string text = names_[size_t(label(index))];
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
  }
  int64_t label(int64_t index) const override { return at(index).label; }
  std::vector<std::string> class_names() const override { return names_; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  const Entry& at(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < size(), "sample {} of {}", index, size());
    return entries_[size_t(index)];
  }
  fs::path root_;
  std::vector<Entry> entries_;
  std::vector<std::string> names_;
  std::string fingerprint_;
};

// Labels from the first folder of each key; what lies in no class, and classes without pictures, are
// problems.
std::vector<Entry> label_pictures(const std::vector<ListedPicture>& pictures,
                                  const std::vector<std::string>& classes, Problems& problems) {
  std::vector<Entry> entries;
  std::vector<std::string> stray, empty;
  std::set<int64_t> filled;
  for (const auto& picture : pictures) {
    const size_t slash = picture.key.find('/');
    if (slash == std::string::npos) {
      stray.push_back(picture.key);
      continue;
    }
    const auto found = std::lower_bound(classes.begin(), classes.end(), picture.key.substr(0, slash));
    entries.push_back({picture.key, found - classes.begin()});
    filled.insert(entries.back().label);
  }
  for (size_t label = 0; label < classes.size(); ++label)
    if (filled.count(int64_t(label)) == 0) empty.push_back(classes[label]);
  if (!stray.empty())
    problems.add(fmt::format(
        "{} picture(s) lie beside the class folders: {}. Move them into the folder of their class",
        stray.size(), name_some(stray)));
  if (!empty.empty())
    problems.add(fmt::format(
        "{} of {} class folders hold no picture (.png, .jpg, .jpeg, .webp): {}. Remove or fill them",
        empty.size(), classes.size(), name_some(empty)));
  return entries;
}

}  // namespace

std::unique_ptr<Dataset> open_class_folder(const SourceConfig& config) {
  require_folder(config);
  std::vector<std::string> classes = list_folders(config.path);
  Problems problems;
  const auto pictures = list_pictures(config.path, "", problems);
  if (classes.empty()) problems.add("there are no sub-folders; type: class_folder wants one per class");
  std::vector<Entry> entries = label_pictures(pictures, classes, problems);
  problems.throw_if_any(subject_of(config));
  if (config.max_samples > 0 && int64_t(entries.size()) > config.max_samples)
    entries.resize(size_t(config.max_samples));
  std::string listing = "class_folder 1\n" + join(classes, "\n") + "\n";
  for (size_t i = 0; i < entries.size(); ++i)
    listing += fmt::format("{}\n{}\n", entries[i].key, pictures[i].bytes);
  return std::make_unique<ClassFolder>(config.path, std::move(entries), std::move(classes),
                                       formats::sha256(listing));
}

}  // namespace pixart::data
