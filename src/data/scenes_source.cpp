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
        shaded_(config.style == SceneStyle::kShaded) {}
  int64_t size() const override { return count_; }
  Row row(int64_t index) const override {
    const Scene scene = at(index);
    return {.key = std::to_string(index),
            .captions = {{.name = "caption", .text = scene_caption(scene)}},
            .label = scene_class(scene.shape, scene.color)};
  }
  std::string bytes(int64_t index) const override { return formats::encode_png(picture(index)); }
  formats::ReducedImage reduced_picture(int64_t index, int) const override {
    return formats::whole(draw_scene(at(index)));
  }
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
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
  std::vector<std::string> names_ = scene_class_names();
  std::vector<Rejection> rejected_;  // none
};

}  // namespace

std::unique_ptr<Dataset> open_scenes(const SourceConfig& config) {
  return std::make_unique<ScenesDataset>(config);
}

}  // namespace pixart::data
