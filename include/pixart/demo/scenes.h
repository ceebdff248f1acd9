// The scenes of the demo: one object on a plain background, drawn with anti-aliased signed distances; a dense
// caption ("a red circle on a white background"); a compositional split; and a judge that recognises the
// scene in an image.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::demo {

struct Scene {
  int shape = 0, color = 0, background = 0;  // indices into the tables below
  float x = 16, y = 16, radius = 10;         // pixels of a 32x32 image
  bool shaded = false;
};

const std::vector<std::string>& scene_shapes();       // circle, square, triangle, cross
const std::vector<std::string>& scene_colors();       // red, yellow, green, blue
const std::vector<std::string>& scene_backgrounds();  // black, white, gray

bool is_held_out(int shape, int color);  // circle-green, triangle-red, cross-blue: not in the training data

// The class of stage 1: shape x color without the held-out pairs; -1 for those.
int scene_class(int shape, int color);
std::vector<std::string> scene_class_names();

std::string scene_caption(const Scene& scene);
Scene parse_scene_caption(const std::string& caption);  // throws UserError for another caption

Scene draw_scene_parameters(uint64_t seed, int64_t index, bool shaded);  // seen pairs only
Image draw_scene(const Scene& scene, int size = 32);

struct Judgement {
  int shape = -1, color = -1, background = -1;
};
// Recognises the scene in a square image of any size; -1 for properties that are not recognised.
Judgement judge_scene(const Image& image);

}  // namespace pixart::demo
