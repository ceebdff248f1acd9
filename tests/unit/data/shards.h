// Shards for tests, and what a dataset holds.
#pragma once
#include <map>
#include <utility>

#include "folder.h"
#include "pixart/formats/tar.h"

namespace pixart::data {

class ShardFolder : public Folder {
 protected:
  using Members = std::vector<std::pair<std::string, std::string>>;

  void shard(const std::string& name, const Members& members) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    formats::TarWriter writer(folder_ / name);
    for (const auto& [member, content] : members) writer.add(member, content);
    writer.commit();
  }
  static std::string png(uint8_t gray = 0) { return formats::encode_png(Image(3, 4, gray)); }

  SourceConfig config(const std::string& path = "", const std::string& type = "webdataset") const {
    SourceConfig result;
    result.name = "shards";
    result.type = type;
    result.path = path.empty() ? folder_ : folder_ / path;
    result.missing_caption = MissingCaption::kEmpty;
    result.missing_caption_share = 1;
    result.quarantine_budget = 1;
    return result;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

// "kind=text kind=text" of each sample.
inline std::vector<std::string> captions_of(const Dataset& dataset) {
  std::vector<std::string> all;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    std::string line;
    for (const auto& caption : dataset.row(i).captions)
      line += (line.empty() ? "" : " ") + caption.name + "=" + caption.text;
    all.push_back(line);
  }
  return all;
}

inline std::vector<int64_t> labels_of(const Dataset& dataset) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < dataset.size(); ++i) labels.push_back(dataset.label(i));
  return labels;
}

}  // namespace pixart::data
