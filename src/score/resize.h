// The three ways in which programs resize images for FID. They differ by much more than two models of today do,
// so a score means something only with its rule.
#pragma once
#include <vector>

#include "pixart/formats/image_file.h"
#include "pixart/score/score.h"

namespace pixart::score {

// The image at 299 x 299 by the rule: planes [3, 299, 299] of values 0 to 255, not rounded.
//   clean       clean-fid's mode "clean": Pillow's bicubic filter in floats, with antialiasing, clipped
//   pytorch     pytorch-fid: bilinear with half-pixel centres, without antialiasing
//   tensorflow  TTUR, ADM, torch-fidelity: bilinear as in TensorFlow 1, without half-pixel centres
std::vector<float> resized(const Image& image, ResizeRule rule);

// Scales such values in place for the network: pytorch v / 127.5 - 1, the others (v - 128) / 128.
void scale_for_network(std::vector<float>& values, ResizeRule rule);

}  // namespace pixart::score
