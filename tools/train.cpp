#include <memory>

#include "commands.h"
#include "pixart/base/log.h"
#include "pixart/train/train.h"

namespace pixart::tools {

void add_train(CLI::App& app) {
  struct Arguments {
    std::string file;
    std::vector<std::string> overrides;
    train::TrainOptions options;
    bool check = false, file_only = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command =
      app.add_subcommand("train", "Run the stages of a run file, or continue an interrupted run.");
  command->add_option("FILE", arguments->file, "run file (YAML); its keys are described in configs/README.md")
      ->required();
  command
      ->add_option("--set", arguments->overrides,
                   "override a key, e.g. --set seed=1 --set stages.text.steps=100")
      ->allow_extra_args(false);
  command->add_option("--stage", arguments->options.only_stage, "run only this stage");
  command
      ->add_option("--allow-change", arguments->options.allowed_changes,
                   "let this key differ from the run that is continued")
      ->allow_extra_args(false);
  command
      ->add_option("--restart-stage", arguments->options.restart_stages,
                   "if no checkpoint of this stage can be used, rename the damaged ones and begin the stage "
                   "again at step 0")
      ->allow_extra_args(false);
  command
      ->add_option("--stop-at-step", arguments->options.stop_at_step,
                   "save and end with 75 when a stage has made this step; the same command then continues")
      ->check(CLI::PositiveNumber);
  auto* check = command->add_flag(
      "--check", arguments->check,
      "only check: read the run file, and open every source, encoder and weight file that its stages read");
  command
      ->add_flag("--file-only", arguments->file_only,
                 "with --check: read the run file alone, on a machine without the data")
      ->needs(check);
  command->footer(
      "Examples:\n  pixart train configs/demo/scenes.yaml\n  pixart train my.yaml --check\n  pixart train my.yaml --set run=runs/second "
      "--set seed=1\n"
      "  pixart launch -n 8 -- train my.yaml     8 ranks, one for each GPU\n"
      "Stop with Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP (the terminal is closed): the state is saved, the exit\n"
      "code is 75, and the same command continues. Under nohup SIGHUP is ignored.");
  command->callback([arguments] {
    const auto config = run::read_run_config(arguments->file, arguments->overrides);
    if (arguments->check) {
      if (!arguments->file_only) train::check(config, arguments->options);
      return log::info("{} is a valid run file", arguments->file);
    }
    train::train(config, arguments->options);
  });
}

}  // namespace pixart::tools
