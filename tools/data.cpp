// pixart data: commands about data sets.
#include "commands.h"
#include "pixart/base/failure.h"

namespace pixart::tools {

void add_data(CLI::App& app) {
  auto* data = app.add_subcommand("data", "Check, score, pack or index a data set, or count its nouns.");
  data->require_subcommand(1);
  data->preparse_callback([](size_t) { set_remedies_of_run(false); });
  for (auto* add : {add_data_check, add_data_score, add_data_stats, add_data_pack, add_data_index})
    add(*data);
  data->footer(
      "Examples:\n  pixart data check /usr/share/tuxpaint/stamps --set missing_caption=skip\n"
      "  pixart data COMMAND --help");
}

}  // namespace pixart::tools
