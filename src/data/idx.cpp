// Reads MNIST's file format: *-images-idx3-ubyte and *-labels-idx1-ubyte, plain or gzipped.
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "links.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestIdx = uint64_t{4} << 30;

// The values of one file, checked against its header.
struct IdxFile {
  std::vector<uint32_t> sizes;
  std::string values;
};

// Reads a plain or gzipped file; zlib's functions take both.
class GzipReader {
 public:
  explicit GzipReader(const fs::path& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) throw UserError(fmt::format("cannot read {}.", path.string()));
  }
  // Reads up to `count` bytes; fewer only at the end of the file.
  std::string read(uint64_t count) {
    constexpr uint64_t kPiece = 1 << 22;  // memory grows with the file's content, not with the header's claim
    std::string bytes;
    while (bytes.size() < count) {
      const size_t done = bytes.size();
      bytes.resize(done + std::min<uint64_t>(count - done, kPiece));
      const int got = gzread(file_.get(), bytes.data() + done, unsigned(bytes.size() - done));
      bytes.resize(done + size_t(std::max(got, 0)));
      if (got <= 0) break;
    }
    int code = Z_OK;
    gzerror(file_.get(), &code);
    if (code != Z_OK) fail();  // Z_BUF_ERROR: a gzip stream that ends early
    return bytes;
  }

 private:
  [[noreturn]] void fail() {
    int code = Z_OK;
    const char* reason = gzerror(file_.get(), &code);
    throw UserError(fmt::format("{} is damaged: {}. Fetch it again.", path_.string(), reason));
  }
  fs::path path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

IdxFile read_idx(const fs::path& path, size_t rank) {
  GzipReader reader(path);
  const std::string header = reader.read(4 + 4 * rank);
  const std::string start = std::string("\0\0\x08", 3) + char(rank);
  if (header.size() < 4 + 4 * rank || !header.starts_with(start))
    throw UserError(fmt::format("{} is not an IDX file of bytes with {} dimension(s).", path.string(), rank));
  IdxFile file;
  uint64_t total = 1;
  for (size_t i = 0; i < rank; ++i) {
    file.sizes.push_back(uint32_t(from_big_endian(header, 4 + 4 * i, 4)));
    total *= std::min<uint64_t>(file.sizes.back(), kLargestIdx);
    if (total > kLargestIdx)
      throw UserError(fmt::format("{}: its header announces more than 4 GiB.", path.string()));
  }
  file.values = reader.read(total);
  const bool more = !reader.read(1).empty();
  if (file.values.size() != total || more)
    throw UserError(fmt::format("{}: its header announces {} values, but it holds {}{}. Fetch it again.",
                                path.string(), total, more ? "more than " : "", file.values.size()));
  return file;
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(IdxFile images, IdxFile labels, int64_t count, std::vector<std::string> names)
      : images_(std::move(images)),
        labels_(std::move(labels)),
        count_(count),
        names_(std::move(names)),
        fingerprint_(formats::sha256(fmt::format("idx 1 {} {} {}", count, formats::sha256(images_.values),
                                                 formats::sha256(labels_.values)))) {}
  int64_t size() const override { return count_; }
  Row row(int64_t index) const override {
    PIXART_CHECK(index >= 0 && index < count_, "sample {} of {}", index, count_);
    const int64_t label = uint8_t(labels_.values[size_t(index)]);
    return {.key = std::to_string(index),
            .captions = {{.name = "caption", .text = names_[size_t(label)]}},
            .label = label};
  }
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  std::string read_bytes_of(int64_t index) const override {
    return formats::encode_png(decode(index, 0).image);
  }
  formats::ReducedImage decode(int64_t index, int) const override {
    PIXART_CHECK(index >= 0 && index < count_, "sample {} of {}", index, count_);
    Image image(int(images_.sizes[1]), int(images_.sizes[2]));
    const size_t area = image.rgb.size() / 3;
    const char* gray = images_.values.data() + size_t(index) * area;
    for (size_t i = 0; i < area; ++i) std::fill_n(image.rgb.data() + 3 * i, 3, uint8_t(gray[i]));
    return formats::whole(std::move(image));
  }
  IdxFile images_, labels_;
  int64_t count_;
  std::vector<std::string> names_;
  std::vector<Rejection> rejected_;  // empty: a damaged file is refused as a whole
  std::string fingerprint_;
};

struct Pair {
  fs::path images, labels;
};

// The file `name` in the folder; a plain file is preferred to a gzipped one.
std::optional<fs::path> find_file(const fs::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"})
    if (fs::is_regular_file(folder / (name + ending))) return folder / (name + ending);
  return std::nullopt;
}

// Images and labels of the same set; "train" is preferred.
Pair find_pair(const SourceConfig& config) {
  static const std::string kImages = "-images-idx3-ubyte", kLabels = "-labels-idx1-ubyte";
  std::vector<std::string> sets;
  for (const auto& entry : fs::directory_iterator(config.path)) {
    const std::string name = entry.path().filename().string();
    const size_t at = name.find(kImages);
    if (at != std::string::npos) sets.push_back(name.substr(0, at));
  }
  std::sort(sets.begin(), sets.end());
  std::stable_partition(sets.begin(), sets.end(), [](const std::string& set) { return set == "train"; });
  for (const auto& set : sets) {
    const auto images = find_file(config.path, set + kImages), labels = find_file(config.path, set + kLabels);
    if (images && labels) return {*images, *labels};
  }
  throw UserError(fmt::format("{}: no pair of train{} and train{} (IDX, plain or .gz) was found.",
                              subject_of(config), kImages, kLabels));
}

// The name of the folder, or of its parent: torchvision stores its files in FashionMNIST/raw.
std::string folder_name(const fs::path& folder) {
  fs::path path = folder.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "raw") path = path.parent_path();
  return ascii_lower(path.filename().string());
}

// Fashion-MNIST's class names for a folder with "fashion" in its name, else digits.
std::vector<std::string> names_for(const fs::path& folder, size_t num_classes) {
  static const std::vector<std::string> kFashion = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                    "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                    "Bag",         "Ankle boot"};
  if (folder_name(folder).find("fashion") != std::string::npos && num_classes <= kFashion.size())
    return kFashion;
  std::vector<std::string> numbers;
  for (size_t i = 0; i < std::max<size_t>(10, num_classes); ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

}  // namespace

std::unique_ptr<Dataset> open_idx(const SourceConfig& config) {
  require_folder(config);
  const Pair paths = find_pair(config);
  Links links(config, {config.path});
  for (const auto& path : {paths.images, paths.labels}) links.admit(path);
  links.throw_if_any();
  IdxFile images = read_idx(paths.images, 3), labels = read_idx(paths.labels, 1);
  if (images.sizes[0] != labels.sizes[0])
    throw UserError(
        fmt::format("{}: {} images but {} labels.", subject_of(config), images.sizes[0], labels.sizes[0]));
  if (images.values.empty())
    throw UserError(fmt::format("{}: {} has no images.", subject_of(config), paths.images.string()));
  const auto largest = std::max_element(labels.values.begin(), labels.values.end(),
                                        [](char a, char b) { return uint8_t(a) < uint8_t(b); });
  const size_t num_classes = size_t(uint8_t(*largest)) + 1;
  const int64_t available = images.sizes[0],
                count = config.max_samples > 0 ? std::min(config.max_samples, available) : available;
  return std::make_unique<IdxDataset>(std::move(images), std::move(labels), count,
                                      names_for(config.path, num_classes));
}

}  // namespace pixart::data
