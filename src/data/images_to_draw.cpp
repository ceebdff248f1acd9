// Image folders that the program fills with images of its own (SourceConfig::draw).
#include <algorithm>
#include <set>

#include "file_ending.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// The images below the folder, as paths in it; names that start with a dot are skipped.
std::set<std::string> images_below(const fs::path& folder) {
  std::set<std::string> found;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().starts_with('.')) {
      at.disable_recursion_pending();
    } else if (has_image_ending(at->path())) {
      found.insert(at->path().lexically_relative(folder).generic_string());
    }
  }
  if (fs::exists(folder)) check_machine(folder, error.value());
  return found;
}

std::string drawn_name(int64_t i) { return fmt::format("drawn-{:05}.png", i); }

// What a folder holds, and which of its drawn images are needed.
struct Filling {
  std::set<std::string> others = {}, drawn = {};  // keys
  std::vector<int64_t> missing = {};

  explicit Filling(const SourceConfig& config) : others(images_below(config.path)) {
    for (int64_t i = 0; i < config.draw; ++i)
      if (others.erase(drawn_name(i)) > 0) drawn.insert(drawn_name(i));
    const int64_t needed = config.draw - int64_t(others.size());
    for (int64_t i = 0; i < needed; ++i)
      if (drawn.insert(drawn_name(i)).second) missing.push_back(i);
  }
};

// The rows that the folder will have. Everything but the images is known before they are drawn.
class PlannedImages : public Dataset {
 public:
  PlannedImages(const SourceConfig& config, const Filling& filling) : prompt_(config.prompt) {
    keys_.assign(filling.others.begin(), filling.others.end());
    keys_.insert(keys_.end(), filling.drawn.begin(), filling.drawn.end());
    std::sort(keys_.begin(), keys_.end());
    if (config.max_samples > 0 && int64_t(keys_.size()) > config.max_samples)
      keys_.resize(size_t(config.max_samples));
  }
  int64_t size() const override { return int64_t(keys_.size()); }
  Row row(int64_t index) const override {
    return {.key = keys_.at(size_t(index)), .captions = {{.name = "caption", .text = prompt_}}};
  }
  const std::vector<std::string>& class_names() const override { return none_; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override {
    return formats::sha256(fmt::format("images to draw {} {}", keys_.size(), prompt_));
  }

 private:
  std::string read_bytes_of(int64_t index) const override {
    throw BadSample({.row = index,
                     .key = key(index),
                     .reason = Reason::kMissingFile,
                     .detail =
                         "not all images of the source are drawn yet; pixart train draws them before the "
                         "stage that uses them begins"});
  }
  std::string prompt_;
  std::vector<std::string> keys_, none_;
  std::vector<Rejection> rejected_;  // always empty
};

}  // namespace

fs::path drawn_image(const SourceConfig& config, int64_t i) { return config.path / drawn_name(i); }

std::vector<int64_t> images_to_draw(const SourceConfig& config) {
  return config.draw > 0 ? Filling(config).missing : std::vector<int64_t>{};
}

std::unique_ptr<Dataset> planned_images(const SourceConfig& config) {
  if (config.draw == 0) return nullptr;
  const Filling filling(config);
  if (filling.missing.empty()) return nullptr;
  return std::make_unique<PlannedImages>(config, filling);
}

}  // namespace pixart::data
