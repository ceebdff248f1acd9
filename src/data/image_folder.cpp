// Pictures with a .txt caption beside each: the first line that is not empty.
#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostNamed = 20;
constexpr uint64_t kLargestCaption = 1 << 20;

struct Entry {
  std::string key;
  std::string caption;
};

class ImageFolder : public Dataset {
 public:
  ImageFolder(fs::path root, std::vector<Entry> entries, std::string fingerprint)
      : root_(std::move(root)), entries_(std::move(entries)), fingerprint_(std::move(fingerprint)) {}
  int64_t size() const override { return int64_t(entries_.size()); }
  Sample get(int64_t index) const override {
    const Entry& entry = entries_[size_t(index)];
    return {.key = entry.key, .image = formats::load_image(root_ / entry.key), .caption = entry.caption};
  }
  std::string caption(int64_t index) const override { return entries_[size_t(index)].caption; }
  int64_t label(int64_t) const override { return -1; }
  std::vector<std::string> class_names() const override { return {}; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  fs::path root_;
  std::vector<Entry> entries_;
  std::string fingerprint_;
};

// The first line with text, without a byte-order mark and surrounding white space. Later lines may be translations.
std::string first_line(const std::string& text) {
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos) return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
    begin = end + 1;
  }
  return {};
}

std::string caption_of(const fs::path& picture) {
  const fs::path text = fs::path(picture).replace_extension(".txt");
  return fs::exists(text) ? first_line(read_file(text, kLargestCaption)) : std::string();
}

std::vector<std::string> list_included(const SourceConfig& config) {
  if (config.include.empty()) return list_pictures(config.path);
  std::vector<std::string> all;
  for (const auto& folder : config.include) {
    if (!fs::is_directory(config.path / folder)) throw UserError(fmt::format("source {}: include: {} is no folder below {}.", config.name, folder, config.path.string()));
    for (const auto& name : list_pictures(config.path / folder)) all.push_back((fs::path(folder) / name).generic_string());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

[[noreturn]] void report_missing(const SourceConfig& config, const std::vector<std::string>& missing, size_t total) {
  const std::vector<std::string> named(missing.begin(), missing.begin() + int64_t(std::min(missing.size(), kMostNamed)));
  throw UserError(fmt::format("source {}: {} of {} pictures have no caption (a .txt file of the same name with a line of text): {}{}. Write them, or set "
                              "sources.{}.missing_caption to skip or empty.", config.name, missing.size(), total, join(named, ", "),
                              missing.size() > named.size() ? ", ..." : "", config.name));
}

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const SourceConfig& config) {
  require_folder(config);
  const auto names = list_included(config);
  std::vector<Entry> entries;
  std::vector<std::string> missing;
  std::string listing = "image_folder 1\n";
  for (const auto& name : names) {
    if (config.max_samples > 0 && int64_t(entries.size()) >= config.max_samples) break;
    std::string caption = caption_of(config.path / name);
    if (caption.empty() && config.missing_caption == "error") missing.push_back(name);
    if (caption.empty() && config.missing_caption != "empty") continue;
    listing += fmt::format("{} {} {}\n", name, fs::file_size(config.path / name), caption);
    entries.push_back({name, std::move(caption)});
  }
  if (!missing.empty()) report_missing(config, missing, names.size());
  if (entries.empty())
    throw UserError(fmt::format("source {}: {} holds no picture{} (.png, .jpg, .jpeg, .webp).", config.name, config.path.string(), names.empty() ? "" : " with a caption"));
  return std::make_unique<ImageFolder>(config.path, std::move(entries), formats::sha256(listing));
}

}  // namespace pixart::data
