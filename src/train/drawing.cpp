#include "drawing.h"

#include <algorithm>
#include <cstring>

#include "pixart/base/error.h"
#include "pixart/distributed/agreement.h"

namespace pixart::train {

namespace {

void append(std::string& bytes, const Image& image) {
  const int32_t size[2] = {image.height, image.width};
  bytes.append(reinterpret_cast<const char*>(size), sizeof size);
  bytes.append(reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size());
}

Image take(std::string_view& bytes) {
  int32_t size[2] = {};
  PIXART_CHECK(bytes.size() >= sizeof size, "an image is missing");
  std::memcpy(size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  Image image(size[0], size[1]);
  PIXART_CHECK(bytes.size() >= image.rgb.size(), "an image is incomplete");
  std::memcpy(image.rgb.data(), bytes.data(), image.rgb.size());
  bytes.remove_prefix(image.rgb.size());
  return image;
}

}  // namespace

std::optional<std::vector<Image>> draw_together(const Drawing& drawing, distributed::Communicator& ranks,
                                                const std::string& phase,
                                                const std::function<bool()>& asked_to_stop) {
  const auto total = int64_t(drawing.captions.size()), world = int64_t(ranks.world_size());
  std::string own;
  const auto draw_own = [&](const std::function<bool()>& asked) {
    for (int64_t first = drawing.group * ranks.rank(); first < total; first += drawing.group * world) {
      if (asked()) return;
      for (const auto& image : drawing.draw(first, std::min(drawing.group, total - first), asked))
        append(own, image);
    }
  };
  if (distributed::together_until(ranks, phase, asked_to_stop, draw_own)) return std::nullopt;
  const auto bytes = distributed::gather_strings(ranks, own, phase);
  std::vector<std::string_view> parts(bytes.begin(), bytes.end());
  std::vector<Image> images;
  for (int64_t i = 0; i < total; ++i) images.push_back(take(parts[size_t(i / drawing.group % world)]));
  return images;
}

}  // namespace pixart::train
