
#include "commands.h"
#include "pixart/base/print.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {

void add_config_reference(CLI::App& app) {
  auto* command = app.add_subcommand(
      "config-reference", "Print the reference of every config key as Markdown (configs/README.md).");
  command->footer("Example:\n  pixart config-reference > configs/README.md");
  command->callback([] { print_text(config::reference_markdown<run::RunConfig>("Run files")); });
}

}  // namespace pixart::tools
