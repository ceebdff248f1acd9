#include "pixart/sample/image_set.h"

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/base/utf8.h"
#include "pixart/base/version.h"
#include "pixart/convert/stated_process.h"
#include "pixart/data/transform.h"
#include "pixart/formats/hash.h"
#include "pixart/nn/device.h"

namespace pixart::sample {
namespace fs = std::filesystem;

namespace {

fs::path without_last_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

// A path for files that are given to others.
std::string shareable(const fs::path& path) {
  if (path.empty()) return {};
  const fs::path own = without_last_slash(path);
  const bool is_inside = own.is_relative() && own != "." && *own.begin() != "..";
  return is_inside ? own.string() : without_last_slash(fs::absolute(path)).filename().string();
}

// A prompt may contain any character, so its length is hashed, too.
std::string hash_of_prompts(const ImageSet& set) {
  formats::Sha256 hash;
  for (const auto& prompt : set.draw.prompts) {
    hash.add(std::to_string(prompt.size()) + "\n");
    hash.add(prompt);
  }
  return hash.hex();
}

// How many images are drawn together.
int64_t group_size(const ImageSet& set) { return set.options.one_by_one ? 1 : set.options.batch_size; }

// What the images of a set have in common, except for the precision.
PngText common_text(const Pipeline& pipeline, const ImageSet& set) {
  const auto& origin = pipeline.origin();
  const auto [height, width] = pipeline.size_of(set.draw);
  PngText text = {{"negative_prompt", set.draw.negative_prompt},
                  {"seed", std::to_string(set.options.seed)},
                  {"height", std::to_string(height)},
                  {"width", std::to_string(width)},
                  {"model", shareable(origin.path)},
                  {"model_sha256", pipeline.weights_sha256()},
                  {"stage", origin.stage},
                  {"step", std::to_string(origin.step)},
                  {"weights", origin.ema ? "average" : "live"},
                  {"vae", shareable(origin.vae)},
                  {"text_encoder", shareable(origin.text_encoder)},
                  {"sampler", set.options.sampler},
                  {"num_steps", std::to_string(set.options.num_steps)},
                  {"guidance", fmt::format("{}", set.options.guidance)},
                  {"software", producer()}};
  // Images without it are of the published process.
  const std::string process = convert::process_text(pipeline.process());
  if (process != convert::process_text(diffusion::Process{})) text["process"] = process;
  return text;
}

}  // namespace

Settings settings_of(const Pipeline& pipeline, const ImageSet& set) {
  Settings settings = {{"prompts_sha256", hash_of_prompts(set)},
                       {"prompts", std::to_string(set.draw.prompts.size())},
                       {"count", std::to_string(set.count)},
                       {"first_index", std::to_string(set.options.first_index)},
                       {"precision", word_of(pipeline.precision())},
                       {"batch", std::to_string(group_size(set))},
                       {"decode_tile", std::to_string(set.options.decode_tile)},
                       {"device", at::DeviceTypeName(pipeline.device().type(), /*lower_case=*/true)}};
  for (const auto& [name, value] : common_text(pipeline, set)) settings.emplace_back(name, value);
  for (const auto& input : pipeline.inputs()) settings.emplace_back("input " + input.name, input.value);
  for (auto& [name, value] : settings) value = replace_invalid_utf8(value);  // paths may be anything
  return settings;
}

PngText text_of(const Pipeline& pipeline, const ImageSet& set, int64_t i) {
  PngText text = common_text(pipeline, set);
  text["prompt"] = set.prompt(i);
  text["index"] = std::to_string(set.options.first_index + i);
  // Images without it are of float32.
  if (pipeline.precision() != run::Precision::kFloat32) text["precision"] = word_of(pipeline.precision());
  return text;
}

namespace {

bool lacks_one(const ImageFolder& folder, int64_t first, int64_t count) {
  for (int64_t i = first; i < first + count; ++i)
    if (!folder.is_there(i)) return true;
  return false;
}

void draw_group(const Pipeline& pipeline, const ImageSet& set, int64_t first, int64_t count,
                ImageFolder& folder, Progress& progress) {
  DrawRequest request{.prompts = {},
                      .negative_prompt = set.draw.negative_prompt,
                      .height = set.draw.height,
                      .width = set.draw.width};
  for (int64_t i = first; i < first + count; ++i) request.prompts.push_back(set.prompt(i));
  GenerateOptions options = set.options;
  options.first_index += first;
  options.asked_to_stop = [&pipeline] {
    nn::wait_for(pipeline.device());  // the host runs ahead of a GPU
    return stop_requested();
  };
  options.take = [&](int64_t i, const Image& image) {
    if (folder.is_there(first + i)) return;
    folder.save(first + i, image);
    progress.update(folder.num_there());
  };
  pipeline.generate(request, options);
}

std::string how_to_continue(const ImageFolder& folder) {
  return fmt::format("{} of {} images are in {}. The same command with --out {} --resume draws the others.",
                     folder.num_there(), folder.size(), folder.path().string(), folder.path().string());
}

}  // namespace

void draw_missing(const Pipeline& pipeline, const ImageSet& set, ImageFolder& folder) {
  try {
    Progress progress("draw", folder.size(), "image", folder.num_there());
    for (int64_t first = 0; first < folder.size() && !stop_requested(); first += group_size(set)) {
      const int64_t count = std::min(group_size(set), folder.size() - first);
      if (lacks_one(folder, first, count)) draw_group(pipeline, set, first, count, folder, progress);
    }
  } catch (...) {
    log::warning("{}", how_to_continue(folder));
    throw;
  }
  if (folder.num_there() < folder.size())
    throw UserError("stopped on request: " + how_to_continue(folder), ExitCode::kRequeue);
}

int64_t write_grid(const ImageFolder& folder, const ImageSet& set, int columns) {
  constexpr int64_t kMostPixels = int64_t{1} << 26;
  constexpr int kLeastSide = 128;  // smaller images are enlarged
  std::vector<Image> images = {formats::load_image(folder.path() / folder.name(0))};
  const int scale = std::max(1, kLeastSide / std::max(1, images.front().width));
  const int64_t pixels = int64_t(images.front().height) * images.front().width * scale * scale;
  const int64_t count = std::clamp<int64_t>(kMostPixels / pixels, 1, folder.size());
  std::vector<std::string> captions;
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) images.push_back(formats::load_image(folder.path() / folder.name(i)));
    captions.push_back(set.prompt(i));
  }
  formats::save_png(folder.path() / "grid.png", data::make_captioned_grid(images, captions, columns, scale));
  return count;
}

}  // namespace pixart::sample
