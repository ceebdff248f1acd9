// The drawn scenes as a source; its classes are the training pairs of colour and shape.
#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/demo/scenes.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {

namespace {

class ScenesDataset : public Dataset {
 public:
  explicit ScenesDataset(const SourceConfig& config)
      : count_(config.max_samples > 0 ? std::min(config.max_samples, config.count) : config.count),
        seed_(uint64_t(config.seed)),
        shaded_(config.style == demo::SceneStyle::kShaded) {}
  int64_t size() const override { return count_; }
  Row row(int64_t index) const override {
    const demo::Scene scene = at(index);
    return {.key = std::to_string(index),
            .captions = {{.name = "caption", .text = demo::scene_caption(scene)}},
            .label = demo::scene_class(scene.shape, scene.color)};
  }
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override {
    return formats::sha256(fmt::format("scenes 1 {} {} {}", count_, seed_, shaded_));
  }

 private:
  std::string read_bytes_of(int64_t index) const override {
    return formats::encode_png(decode(index, 0).image);
  }
  formats::ReducedImage decode(int64_t index, int) const override {
    return formats::whole(demo::draw_scene(at(index)));
  }
  demo::Scene at(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < count_, "sample {} of {}", index, count_);
    return demo::draw_scene_parameters(seed_, index, shaded_);
  }
  int64_t count_;
  uint64_t seed_;
  bool shaded_;
  std::vector<std::string> names_ = demo::scene_class_names();
  std::vector<Rejection> rejected_;  // always empty
};

}  // namespace

std::unique_ptr<Dataset> open_scenes(const SourceConfig& config) {
  return std::make_unique<ScenesDataset>(config);
}

}  // namespace pixart::data
