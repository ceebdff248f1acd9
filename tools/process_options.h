// The options about what a model predicts, which `sample` and `convert` share.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "pixart/convert/stated_process.h"

namespace pixart::tools {

// Adds --prediction, --zero-terminal-snr and --shift. `need`: when the first one is needed, for its help.
void add_process_options(CLI::App& command, convert::ChosenProcess& chosen, const std::string& need);

}  // namespace pixart::tools
