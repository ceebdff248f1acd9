#include <memory>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/dist/launcher.h"

namespace pixart::tools {

namespace {

constexpr int kMostRanks = 1024;

}  // namespace

void add_launch(CLI::App& app) {
  auto options = std::make_shared<dist::LauncherOptions>();
  auto* command =
      app.add_subcommand("launch", "Start a command as several ranks on this machine and watch over them.");
  command->add_option("-n,--ranks", options->num_ranks, "how many processes; one for each GPU")
      ->required()
      ->check(CLI::Range(1, kMostRanks));
  command
      ->add_option("--timeout", options->timeout_seconds,
                   "seconds that ranks wait for a silent one before all end (default 600)")
      ->check(CLI::Range(0.1, 1e6));
  command->add_option("--program", options->program, "start this program instead of pixart");
  command->add_option("COMMAND", options->arguments, "after --: the command and its options");
  command->positionals_at_end();
  command->footer(
      "Examples:\n  pixart launch -n 8 -- train run.yaml --set seed=1\n"
      "  pixart launch -n 2 --timeout 60 -- train run.yaml\n"
      "The terminal shows rank 0, and warnings and errors of the others. If a rank fails or hangs, all end, "
      "and the last\n"
      "message names it with what it was doing. Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP (the terminal is closed; "
      "ignored\n"
      "under nohup) are passed on to the ranks, which save and end (75); the third kills, SIGHUP aside. For "
      "several machines see scripts/launch/.");
  command->preparse_callback([](size_t) { catch_stop_signals(); });
  command->callback([options] {
    if (options->arguments.empty() && options->program.empty())
      throw CLI::RequiredError("the command after --, e.g. -- train run.yaml");
    dist::launch_ranks(*options);
  });
}

}  // namespace pixart::tools
