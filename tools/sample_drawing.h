// What `pixart sample` was asked for, and its drawing.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "pixart/base/enum_words.h"
#include "pixart/sample/image_set.h"
#include "pixart/sample/pipeline.h"

namespace pixart::tools {

enum class Weights { kEma, kLive, kBoth };
inline EnumWords<Weights> enum_words(Weights) {
  return {{"ema", Weights::kEma}, {"live", Weights::kLive}, {"both", Weights::kBoth}};
}

struct SampleArguments {
  sample::PipelineRequest request;
  sample::ImageSet set;
  sample::FolderRequest folder;
  std::string prompt_file, aspect, suite;
  std::filesystem::path from_image;
  // Unset: as the model wants (diffusion::default_sampler).
  std::optional<std::string> sampler = {};
  std::optional<int64_t> num_steps = {};
  std::optional<double> guidance = {};
  std::optional<int64_t> count = {};  // unset: 1, or as the suite wants
  std::optional<uint64_t> seed = {};  // unset: 0, or as the suite wants
  Weights weights = Weights::kEma;
  int64_t columns = 8, step = -1;
  bool live_weights = false, exact = false, no_cache = false, overwrite = false, resume = false, npz = false;
};

double aspect_of(const std::string& text);  // "16:9" or "1.78" as width over height

// Draws what the checked arguments say; the ranks of `pixart launch` share the images.
void draw(SampleArguments& arguments);

}  // namespace pixart::tools
