// Cosines of CLIP between images and texts, for T2I-CompBench.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::score {

struct ClipQuestion {
  std::filesystem::path image = {};
  std::string text = {};
};
// The cosine of each image and its text, in order. Throws one UserError that lists every image that cannot be read.
using ClipCosine = std::function<std::vector<double>(const std::vector<ClipQuestion>&)>;

// Names, shapes and the tokenizer of a model; what is wrong becomes a problem, and no weight is read.
void check_clip_cosine(const std::filesystem::path& clip, const std::filesystem::path& tokenizer,
                       Problems& problems);

// `protocol`: JSON object with the hash of the weights and the rule of the pixels.
ClipCosine load_clip_cosine(const std::filesystem::path& clip, const std::filesystem::path& tokenizer,
                            const std::string& device, std::string& protocol);

}  // namespace pixart::score
