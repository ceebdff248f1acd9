#include "pixart/demo/scenes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/base/words.h"
#include "scene_tables.h"

namespace pixart::demo {

const std::vector<std::string>& scene_shapes() {
  static const std::vector<std::string> names = {"circle", "square", "triangle", "cross"};
  return names;
}
const std::vector<std::string>& scene_colors() {
  static const std::vector<std::string> names = {"red", "yellow", "green", "blue"};
  return names;
}
const std::vector<std::string>& scene_backgrounds() {
  static const std::vector<std::string> names = {"black", "white", "gray"};
  return names;
}

bool is_held_out(int shape, int color) {
  return (shape == 0 && color == 2) || (shape == 2 && color == 0) || (shape == 3 && color == 3);
}

namespace {

struct Pair {
  int shape, color;
};

const std::vector<Pair>& seen_pairs() {
  static const std::vector<Pair> pairs = [] {
    std::vector<Pair> result;
    for (int shape = 0; shape < int(scene_shapes().size()); ++shape)
      for (int color = 0; color < int(scene_colors().size()); ++color)
        if (!is_held_out(shape, color)) result.push_back({shape, color});
    return result;
  }();
  return pairs;
}

}  // namespace

int scene_class(int shape, int color) {
  const auto& pairs = seen_pairs();
  for (size_t i = 0; i < pairs.size(); ++i)
    if (pairs[i].shape == shape && pairs[i].color == color) return int(i);
  return -1;
}

std::vector<std::string> scene_class_names() {
  std::vector<std::string> names;
  for (const auto& pair : seen_pairs())
    names.push_back(scene_colors()[size_t(pair.color)] + " " + scene_shapes()[size_t(pair.shape)]);
  return names;
}

std::string scene_caption(const Scene& scene) {
  return fmt::format("a {} {} on a {} background", scene_colors()[size_t(scene.color)],
                     scene_shapes()[size_t(scene.shape)], scene_backgrounds()[size_t(scene.background)]);
}

Scene parse_scene_caption(const std::string& caption) {
  for (int shape = 0; shape < int(scene_shapes().size()); ++shape)
    for (int color = 0; color < int(scene_colors().size()); ++color)
      for (int background = 0; background < int(scene_backgrounds().size()); ++background) {
        const Scene scene{.shape = shape, .color = color, .background = background};
        if (scene_caption(scene) == caption) return scene;
      }
  throw UserError(fmt::format(
      "'{}' does not describe a scene; expected the form 'a red circle on a white background', with {}; {}; "
      "{}.",
      caption, join(scene_colors(), ", "), join(scene_shapes(), ", "), join(scene_backgrounds(), ", ")));
}

Scene draw_scene_parameters(uint64_t seed, int64_t index, bool shaded) {
  const RandomKey key{seed, uint64_t(index), Purpose::kScene};
  const Pair pair = seen_pairs()[size_t(uniform_below(key, seen_pairs().size(), 0))];
  Scene scene{.shape = pair.shape,
              .color = pair.color,
              .background = int(uniform_below(key, scene_backgrounds().size(), 1)),
              .shaded = shaded};
  scene.x = float(14 + 4 * uniform(key, 2));
  scene.y = float(14 + 4 * uniform(key, 3));
  scene.radius = float(9.5 + 1.5 * uniform(key, 4));
  return scene;
}

namespace {

float box_distance(float x, float y, float half_width, float half_height) {
  const float dx = std::abs(x) - half_width, dy = std::abs(y) - half_height;
  return std::hypot(std::max(dx, 0.0f), std::max(dy, 0.0f)) + std::min(std::max(dx, dy), 0.0f);
}

uint8_t to_byte(float value) { return uint8_t(std::lround(std::clamp(value, 0.0f, 255.0f))); }

}  // namespace

float shape_distance(int shape, float x, float y, float r) {
  switch (shape) {
    case 0:
      return std::hypot(x, y) - r;
    case 1:
      return box_distance(x, y, 0.85f * r, 0.85f * r);
    case 2: {  // upright, equilateral; moved down so that it fills the same square as the others
      const float below = y - 0.2f * r, inner = 0.575f * r;
      constexpr float kCos30 = 0.8660254f;
      return std::max({below - inner, kCos30 * x - 0.5f * below - inner, -kCos30 * x - 0.5f * below - inner});
    }
    default:
      return std::min(box_distance(x, y, r, 0.36f * r), box_distance(x, y, 0.36f * r, r));
  }
}

Image draw_scene(const Scene& scene, int size) {
  PIXART_CHECK(size > 0);
  constexpr float kBackgroundGrade = 24, kObjectGrade = 0.22f;
  Image image(size, size);
  const float scale = float(size) / 32;
  const auto& object = kObjectColors[size_t(scene.color)];
  const auto& background = kBackgroundColors[size_t(scene.background)];
  for (int row = 0; row < size; ++row) {
    for (int col = 0; col < size; ++col) {
      const float x = (float(col) + 0.5f) / scale - scene.x, y = (float(row) + 0.5f) / scale - scene.y;
      const float coverage =
          std::clamp(0.5f - shape_distance(scene.shape, x, y, scene.radius) * scale, 0.0f, 1.0f);
      // Shaded scenes: the object is lit from the upper left, and the background is darker below.
      const float light = scene.shaded ? 1 - kObjectGrade * (x + y) / (1.4f * scene.radius) : 1;
      const float grade = scene.shaded ? kBackgroundGrade * (0.5f - float(row) / float(size)) : 0;
      for (size_t c = 0; c < 3; ++c) {
        const float back = float(background[c]) + grade, front = float(object[c]) * light;
        image.at(row, col)[c] = to_byte(std::clamp(back, 0.0f, 255.0f) * (1 - coverage) +
                                        std::clamp(front, 0.0f, 255.0f) * coverage);
      }
    }
  }
  return image;
}

}  // namespace pixart::demo
