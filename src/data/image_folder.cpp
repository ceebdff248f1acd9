// Pictures with a .txt caption beside each: the first line that is not empty.
#include <algorithm>

#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestCaption = uint64_t{1} << 20;

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
    const Entry& entry = at(index);
    return {.key = entry.key, .image = formats::load_image(root_ / entry.key), .caption = entry.caption};
  }
  std::string caption(int64_t index) const override { return at(index).caption; }
  int64_t label(int64_t) const override { return -1; }
  std::vector<std::string> class_names() const override { return {}; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  const Entry& at(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < size(), "sample {} of {}", index, size());
    return entries_[size_t(index)];
  }
  fs::path root_;
  std::vector<Entry> entries_;
  std::string fingerprint_;
};

// The first line with text, without a byte-order mark and surrounding white space. Later lines may be
// translations.
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

struct Captions {
  std::vector<Entry> entries;
  std::vector<std::string> missing, unreadable;
  std::string listing;  // what the fingerprint is made of
};

std::string caption_of(const fs::path& picture) {
  const fs::path text = fs::path(picture).replace_extension(".txt");
  return fs::exists(text) ? first_line(read_file(text, kLargestCaption)) : std::string();
}

Captions read_captions(const SourceConfig& config, const std::vector<ListedPicture>& pictures) {
  Captions result;
  for (const auto& picture : pictures) {
    if (config.max_samples > 0 && int64_t(result.entries.size()) >= config.max_samples) break;
    std::string caption;
    try {
      caption = caption_of(config.path / picture.key);
    } catch (const std::exception& error) {  // reported with the others
      result.unreadable.push_back(fmt::format("{} ({})", picture.key, error.what()));
      continue;
    }
    if (caption.empty() && config.missing_caption == "error") result.missing.push_back(picture.key);
    if (caption.empty() && config.missing_caption == "skip") continue;
    result.listing += fmt::format("{}\n{}\n{}\n", picture.key, picture.bytes, caption);
    result.entries.push_back({picture.key, std::move(caption)});
  }
  return result;
}

// The pictures of all included sub-folders, or of the whole folder; each once, sorted.
std::vector<ListedPicture> list_included(const SourceConfig& config, Problems& problems) {
  if (config.include.empty()) return list_pictures(config.path, "", problems);
  std::vector<ListedPicture> all;
  for (const auto& folder : config.include) {
    std::error_code error;
    if (!fs::is_directory(config.path / folder, error)) {
      problems.add(fmt::format("include: there is no folder {}.{}", folder,
                               did_you_mean(folder, list_folders(config.path))));
      continue;
    }
    const auto some = list_pictures(config.path, folder, problems);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  all.erase(std::unique(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key == b.key; }),
            all.end());
  return all;
}

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const SourceConfig& config) {
  require_folder(config);
  Problems problems;
  const auto pictures = list_included(config, problems);
  Captions captions = read_captions(config, pictures);
  if (!captions.unreadable.empty())
    problems.add(fmt::format("{} caption file(s) cannot be read: {}", captions.unreadable.size(),
                             name_some(captions.unreadable)));
  if (!captions.missing.empty())
    problems.add(
        fmt::format("{} of {} pictures have no caption: {}. Put a .txt file of the same name with a line of "
                    "text beside each, or set "
                    "missing_caption to skip or empty",
                    captions.missing.size(), pictures.size(), name_some(captions.missing)));
  if (captions.entries.empty() && problems.empty())
    problems.add(fmt::format("no picture{} (.png, .jpg, .jpeg, .webp) was found",
                             pictures.empty() ? "" : " with a caption"));
  problems.throw_if_any(subject_of(config));
  return std::make_unique<ImageFolder>(config.path, std::move(captions.entries),
                                       formats::sha256("image_folder 1\n" + captions.listing));
}

}  // namespace pixart::data
