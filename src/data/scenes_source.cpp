// The drawn scenes as a source; its classes are the pairs of colour and shape that are trained on.
#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/data/scenes.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {

namespace {

class ScenesDataset : public Dataset {
 public:
  explicit ScenesDataset(const SourceConfig& config)
      : count_(config.max_samples > 0 ? std::min(config.max_samples, config.count) : config.count),
        seed_(uint64_t(config.seed)),
        shaded_(config.style == "shaded") {}
  int64_t size() const override { return count_; }
  Sample get(int64_t index) const override {
    const Scene scene = at(index);
    return {.key = std::to_string(index),
            .image = draw_scene(scene),
            .caption = scene_caption(scene),
            .label = scene_class(scene.shape, scene.color)};
  }
  std::string caption(int64_t index) const override { return scene_caption(at(index)); }
  int64_t label(int64_t index) const override {
    const Scene scene = at(index);
    return scene_class(scene.shape, scene.color);
  }
  std::vector<std::string> class_names() const override { return scene_class_names(); }
  std::string fingerprint() const override {
    return formats::sha256(fmt::format("scenes 1 {} {} {}", count_, seed_, shaded_));
  }

 private:
  Scene at(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < count_, "sample {} of {}", index, count_);
    return draw_scene_parameters(seed_, index, shaded_);
  }
  int64_t count_;
  uint64_t seed_;
  bool shaded_;
};

}  // namespace

std::unique_ptr<Dataset> open_scenes(const SourceConfig& config) {
  return std::make_unique<ScenesDataset>(config);
}

}  // namespace pixart::data
