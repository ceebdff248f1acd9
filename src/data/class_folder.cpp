// One sub-folder per class, as ImageNet is laid out; the caption is the class name.
#include <algorithm>

#include "pixart/base/error.h"
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
  ClassFolder(fs::path root, std::vector<Entry> entries, std::vector<std::string> names, std::string fingerprint)
      : root_(std::move(root)), entries_(std::move(entries)), names_(std::move(names)), fingerprint_(std::move(fingerprint)) {}
  int64_t size() const override { return int64_t(entries_.size()); }
  Sample get(int64_t index) const override {
    const Entry& entry = entries_[size_t(index)];
    return {.key = entry.key, .image = formats::load_image(root_ / entry.key), .caption = caption(index), .label = entry.label};
  }
  std::string caption(int64_t index) const override {
    std::string text = names_[size_t(label(index))];
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
  }
  int64_t label(int64_t index) const override { return entries_[size_t(index)].label; }
  std::vector<std::string> class_names() const override { return names_; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  fs::path root_;
  std::vector<Entry> entries_;
  std::vector<std::string> names_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Dataset> open_class_folder(const SourceConfig& config) {
  require_folder(config);
  std::vector<std::string> classes;
  for (const auto& entry : fs::directory_iterator(config.path))
    if (entry.is_directory()) classes.push_back(entry.path().filename());
  std::sort(classes.begin(), classes.end());
  if (classes.empty()) throw UserError(fmt::format("source {}: {} has no sub-folders; a class_folder has one per class.", config.name, config.path.string()));
  std::vector<Entry> entries;
  std::string listing = "class_folder 1\n";
  Problems problems;
  for (size_t label = 0; label < classes.size(); ++label) {
    const auto names = list_pictures(config.path / classes[label]);
    if (names.empty()) problems.add(fmt::format("class folder {} holds no picture", classes[label]));
    for (const auto& name : names) {
      if (config.max_samples > 0 && int64_t(entries.size()) >= config.max_samples) break;
      const std::string key = classes[label] + "/" + name;
      listing += fmt::format("{} {}\n", key, fs::file_size(config.path / key));
      entries.push_back({key, int64_t(label)});
    }
  }
  problems.throw_if_any(fmt::format("source {}: {}", config.name, config.path.string()));
  return std::make_unique<ClassFolder>(config.path, std::move(entries), std::move(classes), formats::sha256(listing));
}

}  // namespace pixart::data
