#include "images.h"

#include <algorithm>
#include <map>

#include "pixart/base/html.h"

namespace pixart::report {
namespace {

constexpr size_t kMostGrids = 16;  // per stage
constexpr int kWidest = 1536;      // pixels; a screen shows no more
constexpr int kQuality = 82;

std::string image_url(const Image& image) {
  const std::string jpeg = formats::encode_jpeg(image, kQuality), png = formats::encode_png(image);
  return png.size() <= jpeg.size() ? data_url("image/png", png) : data_url("image/jpeg", jpeg);
}

// Encodes each grid only once.
class Encoder {
 public:
  Encoder(const std::vector<SampleGrid>& samples, uint64_t bytes) : samples_(samples), bytes_(bytes) {}

  // Nothing if the image is damaged or cannot be made small enough.
  const EmbeddedImage* at(size_t index) {
    const auto [known, is_new] =
        done_.emplace(index, EmbeddedImage{.step = samples_[index].step, .data = {}});
    EmbeddedImage& image = known->second;
    if (is_new) encode(samples_[index].file, image);
    return image.data.empty() ? nullptr : &image;
  }
  size_t num_damaged() const { return num_damaged_; }

 private:
  void encode(const std::filesystem::path& file, EmbeddedImage& embedded) {
    try {
      Image image = formats::load_image(file);
      while (image.width > kWidest) image = halved(image);
      embedded.data = image_url(image);
      while (embedded.data.size() > bytes_ && std::min(image.width, image.height) >= 2) {
        image = halved(image);
        embedded.data = image_url(image);
      }
      embedded.width = image.width;
      embedded.height = image.height;
      if (embedded.data.size() > bytes_) embedded.data.clear();
    } catch (const UserError&) {
      ++num_damaged_;
    }
  }

  const std::vector<SampleGrid>& samples_;
  const uint64_t bytes_;
  std::map<size_t, EmbeddedImage> done_;
  size_t num_damaged_ = 0;
};

}  // namespace

std::vector<size_t> evenly_spread(size_t size, size_t count) {
  std::vector<size_t> result;
  if (size == 0 || count == 0) return result;
  if (count == 1) return {size - 1};
  count = std::min(size, count);
  for (size_t i = 0; i < count; ++i) result.push_back(count == 1 ? 0 : i * (size - 1) / (count - 1));
  return result;
}

Image halved(const Image& image) {
  Image half(std::max(1, image.height / 2), std::max(1, image.width / 2));
  for (int y = 0; y < half.height; ++y)
    for (int x = 0; x < half.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const int y1 = std::min(2 * y + 1, image.height - 1), x1 = std::min(2 * x + 1, image.width - 1);
        const int y0 = std::min(2 * y, y1), x0 = std::min(2 * x, x1);
        const int sum = image.at(y0, x0)[c] + image.at(y0, x1)[c] + image.at(y1, x0)[c] + image.at(y1, x1)[c];
        half.at(y, x)[c] = uint8_t((sum + 2) / 4);
      }
  return half;
}

EmbeddedGrids embedded_grids(const std::vector<SampleGrid>& samples, uint64_t bytes) {
  Encoder encoder(samples, bytes);
  for (size_t count = std::min(samples.size(), kMostGrids); count > 0;) {
    EmbeddedGrids grids;
    uint64_t total = 0;
    for (const size_t index : evenly_spread(samples.size(), count)) {
      const EmbeddedImage* image = encoder.at(index);
      if (image == nullptr) continue;
      total += image->data.size();
      grids.images.push_back(*image);
    }
    grids.num_damaged = encoder.num_damaged();
    if (total <= bytes) return grids;
    count = std::min(count - 1, size_t(double(count) * double(bytes) / double(total)));
  }
  return {.images = {}, .num_damaged = encoder.num_damaged()};
}

}  // namespace pixart::report
