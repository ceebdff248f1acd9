// One function per benchmark. It adds a sub-command that prints one JSON object. Each benchmark runs a rival
// in the same run, because times alone say little.
#pragma once
#include <CLI/CLI.hpp>

namespace pixart::bench {

void add_attention(CLI::App& app);
void add_checkpoint(CLI::App& app);
void add_convert(CLI::App& app);
void add_decode(CLI::App& app);
void add_features(CLI::App& app);
void add_kernels(CLI::App& app);
void add_remote(CLI::App& app);
void add_startup(CLI::App& app);
void add_step(CLI::App& app);
void add_optimizer(CLI::App& app);
void add_order(CLI::App& app);

}  // namespace pixart::bench
