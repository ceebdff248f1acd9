// MNIST's file format: *-images-idx3-ubyte and *-labels-idx1-ubyte, plain or gzipped.
#include <zlib.h>

#include <algorithm>
#include <array>

#include "pixart/base/error.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr size_t kLargestFile = size_t{4} << 30;

// zlib's gz functions read plain files too.
std::string read_gzip(const fs::path& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw UserError(fmt::format("cannot read {}.", path.string()));
  std::string bytes;
  std::array<char, 1 << 16> buffer;
  int count = 0;
  while ((count = gzread(file, buffer.data(), buffer.size())) > 0 && bytes.size() <= kLargestFile) bytes.append(buffer.data(), size_t(count));
  const int closed = gzclose(file);
  if (count < 0 || closed != Z_OK) throw UserError(fmt::format("{}: damaged gzip file.", path.string()));
  return bytes;
}

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | uint8_t(bytes[at + i]);
  return value;
}

// Checks the header and returns the dimensions.
std::vector<uint32_t> read_header(const std::string& bytes, size_t rank, const fs::path& path) {
  const std::string start = std::string("\0\0\x08", 3) + char(rank);
  if (bytes.size() < 4 + 4 * rank || !bytes.starts_with(start)) throw UserError(fmt::format("{}: no IDX file of bytes with {} dimensions.", path.string(), rank));
  std::vector<uint32_t> sizes;
  uint64_t total = 1;
  for (size_t i = 0; i < rank; ++i) {
    sizes.push_back(big_endian(bytes, 4 + 4 * i));
    total = std::min<uint64_t>(total * sizes.back(), kLargestFile);
  }
  if (bytes.size() != 4 + 4 * rank + total) throw UserError(fmt::format("{}: {} bytes, its header asks for {}. The file is cut off.", path.string(), bytes.size(), 4 + 4 * rank + total));
  return sizes;
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(std::string pixels, std::string labels, int height, int width, int64_t count, std::vector<std::string> names)
      : pixels_(std::move(pixels)), labels_(std::move(labels)), height_(height), width_(width), count_(count), names_(std::move(names)),
        fingerprint_(formats::sha256(fmt::format("idx 1 {} {} {}", count, formats::sha256(pixels_), formats::sha256(labels_)))) {}
  int64_t size() const override { return count_; }
  Sample get(int64_t index) const override {
    const size_t area = size_t(height_) * size_t(width_);
    const char* grey = pixels_.data() + kImageHeader + size_t(index) * area;
    Sample sample{.key = std::to_string(index), .image = Image(height_, width_), .caption = caption(index), .label = label(index)};
    for (size_t i = 0; i < area; ++i) std::fill_n(sample.image.rgb.data() + 3 * i, 3, uint8_t(grey[i]));
    return sample;
  }
  std::string caption(int64_t index) const override { return names_[size_t(label(index))]; }
  int64_t label(int64_t index) const override { return uint8_t(labels_[kLabelHeader + size_t(index)]); }
  std::vector<std::string> class_names() const override { return names_; }
  std::string fingerprint() const override { return fingerprint_; }
  static constexpr size_t kImageHeader = 16, kLabelHeader = 8;

 private:
  std::string pixels_, labels_;  // whole files
  int height_, width_;
  int64_t count_;
  std::vector<std::string> names_;
  std::string fingerprint_;
};

fs::path find_file(const SourceConfig& config, const std::string& kind) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(config.path))
    if (entry.path().filename().string().find(kind) != std::string::npos) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  for (const auto& path : found)
    if (path.filename().string().starts_with("train")) return path;
  if (found.empty()) throw UserError(fmt::format("source {}: {} holds no *-{} file (IDX, plain or .gz).", config.name, config.path.string(), kind));
  return found.front();
}

std::vector<std::string> names_for(const fs::path& path, int num_classes) {
  const std::vector<std::string> fashion = {"T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"};
  if (path.string().find("fashion") != std::string::npos && num_classes <= int(fashion.size())) return fashion;
  std::vector<std::string> digits;
  for (int i = 0; i < std::max(10, num_classes); ++i) digits.push_back(std::to_string(i));
  return digits;
}

}  // namespace

std::unique_ptr<Dataset> open_idx(const SourceConfig& config) {
  require_folder(config);
  const fs::path image_path = find_file(config, "images-idx3-ubyte"), label_path = find_file(config, "labels-idx1-ubyte");
  std::string pixels = read_gzip(image_path), labels = read_gzip(label_path);
  const auto image_sizes = read_header(pixels, 3, image_path), label_sizes = read_header(labels, 1, label_path);
  if (image_sizes[0] != label_sizes[0])
    throw UserError(fmt::format("source {}: {} holds {} pictures, {} holds {} labels.", config.name, image_path.string(), image_sizes[0], label_path.string(), label_sizes[0]));
  if (image_sizes[0] == 0 || image_sizes[1] == 0 || image_sizes[2] == 0) throw UserError(fmt::format("source {}: {} holds no picture.", config.name, image_path.string()));
  int largest = 0;
  for (size_t i = IdxDataset::kLabelHeader; i < labels.size(); ++i) largest = std::max(largest, int(uint8_t(labels[i])));
  const int64_t count = config.max_samples > 0 ? std::min<int64_t>(config.max_samples, image_sizes[0]) : image_sizes[0];
  return std::make_unique<IdxDataset>(std::move(pixels), std::move(labels), int(image_sizes[1]), int(image_sizes[2]), count, names_for(config.path, largest + 1));
}

}  // namespace pixart::data
