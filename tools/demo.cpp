#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/dataset.h"
#include "pixart/data/recognise.h"
#include "pixart/demo/scenes.h"
#include "pixart/sample/scene_score.h"

namespace pixart::tools {

namespace {

void add_demo_score(CLI::App& demo) {
  struct Arguments {
    std::string run, device = "auto";
    bool curve = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = demo.add_subcommand(
      "score", "Score a run on drawn scenes: does each image show what its caption says?");
  command->add_option("RUN", arguments->run, "run folder")->required();
  command->add_option("--device", arguments->device, "auto, cpu, cuda, cuda:<i>")->capture_default_str();
  command->add_flag("--curve", arguments->curve, "score every checkpoint of the run; writes RUN/curve.json");
  command->footer(
      "Writes RUN/score.json; a file of that name that it did not write stays (78). Ends with exit code 72 if a "
      "value is below a bar of the run's config (evaluation.bars).\n"
      "Example:\n  pixart demo score runs/demo");
  command->callback([arguments] {
    if (arguments->curve) return sample::score_checkpoints(arguments->run, arguments->device);
    const auto scores = sample::score_run(arguments->run, arguments->device);
    for (const auto& [metric, value] : scores) print_line("{:<22} {:7.1f}", metric, value);
    std::fflush(stdout);
    const auto missed = sample::missed_bars(arguments->run, scores);
    if (!missed.empty())
      throw UserError("below the bars of the config: " + join(missed, "; "), ExitCode::kBelowBar);
  });
}

// The word of a property, or null where the scene judge does not recognise it.
nlohmann::ordered_json word_at(const std::vector<std::string>& words, int index) {
  return index < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(words.at(size_t(index)));
}

nlohmann::ordered_json scene_in(const Image& image) {
  const auto seen = demo::judge_scene(image);
  return {{"shape", word_at(demo::scene_shapes(), seen.shape)},
          {"color", word_at(demo::scene_colors(), seen.color)},
          {"background", word_at(demo::scene_backgrounds(), seen.background)}};
}

// All images that are damaged or not square are named at once; the others are printed first. The overview of pixart
// sample is not one of its images.
void read_scenes(const std::filesystem::path& path) {
  const auto images = data::open_image_set(path);
  const bool is_drawn = std::filesystem::is_regular_file(path / "sample.json");
  Problems problems;
  for (int64_t row = 0; row < images->size(); ++row) {
    const std::string key = images->key(row);
    if (is_drawn && key == "grid.png") continue;
    nlohmann::ordered_json line = {{"image", key}};
    try {
      const Image image = images->image(row);
      if (image.width != image.height) {
        problems.add(
            fmt::format("{} is {} x {} pixels, and a scene is square", key, image.width, image.height));
        continue;
      }
      line.update(scene_in(image));
      print_line("{}", line.dump());
    } catch (const data::BadSample& bad) {
      problems.add(bad.what());
    }
  }
  std::fflush(stdout);
  problems.throw_if_any(path.string());
}

void add_demo_read(CLI::App& demo) {
  auto path = std::make_shared<std::string>();
  auto* command =
      demo.add_subcommand("read", "Print what the scene judge sees in images, one JSON line each");
  command->add_option("IMAGES", *path, "folder, shards or table of images")->required();
  command->footer(
      "null means that the judge does not recognise this property. Images must be square.\n"
      "Example:\n  pixart demo read images/mine");
  command->callback([path] { read_scenes(with_home(*path)); });
}

}  // namespace

void add_demo(CLI::App& app) {
  auto* demo = app.add_subcommand("demo", "Work with runs on drawn scenes, as scripts/demo.sh trains one.");
  demo->require_subcommand(1);
  add_demo_score(*demo);
  add_demo_read(*demo);
  demo->footer("Examples:\n  pixart demo score runs/demo\n  pixart demo read images/mine");
}

}  // namespace pixart::tools
