#include <cstdio>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
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
      "Writes RUN/score.json. Ends with exit code 72 if a value is below a bar of the run's config "
      "(evaluation.bars).\n"
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

}  // namespace

void add_demo(CLI::App& app) {
  auto* demo = app.add_subcommand("demo", "Work with runs on drawn scenes, as scripts/demo.sh trains one.");
  demo->require_subcommand(1);
  add_demo_score(*demo);
  demo->footer("Examples:\n  pixart demo score runs/demo\n  pixart demo score --help");
}

}  // namespace pixart::tools
