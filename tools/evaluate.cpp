#include <cstdio>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/train/evaluate.h"

namespace pixart::tools {

void add_evaluate(CLI::App& app) {
  struct Arguments {
    std::string run, device = "auto";
    bool curve = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "evaluate", "Score a run on drawn scenes: does each picture show what its caption says?");
  command->add_option("RUN", arguments->run, "run folder")->required();
  command->add_option("--device", arguments->device, "auto, cpu, cuda, cuda:<i>")->capture_default_str();
  command->add_flag("--curve", arguments->curve,
                    "score every checkpoint that is there; writes RUN/curve.json");
  command->footer(
      "Writes RUN/score.json. Ends with exit code 72 if a bar of the run's config (evaluation.bars) is "
      "missed.\n"
      "Example:\n  pixart evaluate runs/demo");
  command->callback([arguments] {
    if (arguments->curve) return train::evaluate_curve(arguments->run, arguments->device);
    const auto scores = train::evaluate_run(arguments->run, arguments->device);
    for (const auto& [metric, value] : scores) std::printf("%-22s %7.1f\n", metric.c_str(), value);
    std::fflush(stdout);
    const auto missed = train::missed_bars(arguments->run, scores);
    if (!missed.empty())
      throw UserError("below what the config asks for: " + join(missed, "; "), ExitCode::kBelowBar);
  });
}

}  // namespace pixart::tools
