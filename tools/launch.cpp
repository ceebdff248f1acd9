#include <memory>

#include "commands.h"
#include "pixart/distributed/launcher.h"

namespace pixart::tools {

namespace {

constexpr int kMostRanks = 1024;

}  // namespace

void add_launch(CLI::App& app) {
  auto options = std::make_shared<distributed::LauncherOptions>();
  auto* command =
      app.add_subcommand("launch", "Start a command as several ranks on this machine and watch them.");
  command->add_option("-n,--ranks", options->num_ranks, "number of processes; one for each GPU")
      ->required()
      ->check(CLI::Range(1, kMostRanks));
  command
      ->add_option("--timeout", options->timeout_seconds,
                   "seconds that ranks wait for a silent rank before all end (default 600)")
      ->check(CLI::Range(0.1, 1e6));
  command->add_option("--program", options->program, "start this program instead of pixart");
  command->add_option("COMMAND", options->arguments, "after --: the command and its options");
  command->positionals_at_end();
  command->footer(
      "Examples:\n  pixart launch -n 8 -- train run.yaml --set seed=1\n"
      "  pixart launch -n 2 --timeout 60 -- train run.yaml\n"
      "The terminal shows rank 0, and warnings and errors of the others. If a rank fails or hangs, all end,\n"
      "and the last message names the rank and its phase. Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP (the terminal\n"
      "was closed; ignored under nohup) are passed on to the ranks, which save and end (75); the third signal\n"
      "kills them, except SIGHUP. For several machines see scripts/launch/.");
  command->callback([options] {
    if (options->arguments.empty() && options->program.empty())
      throw CLI::RequiredError("the command after --, e.g. -- train run.yaml");
    distributed::launch_ranks(*options);
  });
}

}  // namespace pixart::tools
