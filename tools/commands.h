// One function per sub-command. It adds the command's options to `app`, and the function that runs it.
#pragma once
#include <CLI/CLI.hpp>

namespace pixart::tools {

void add_train(CLI::App& app);
void add_extract(CLI::App& app);
void add_data(CLI::App& app);
void add_data_check(CLI::App& data);
void add_data_stats(CLI::App& data);
void add_data_index(CLI::App& data);
void add_data_pack(CLI::App& data);
void add_data_score(CLI::App& data);
void add_caption(CLI::App& app);
void add_judge(CLI::App& app);
void add_sample(CLI::App& app);
void add_score(CLI::App& app);
void add_compbench(CLI::App& app);
void add_study(CLI::App& app);
void add_demo(CLI::App& app);
void add_convert(CLI::App& app);
void add_inspect(CLI::App& app);
void add_launch(CLI::App& app);
void add_report(CLI::App& app);
void add_doctor(CLI::App& app);
void add_config_reference(CLI::App& app);
void add_plan(CLI::App& app);
void add_explain(CLI::App& app);
void add_completion(CLI::App& app);
void add_manual(CLI::App& app);

// Parses and runs; throws CLI::ParseError, UserError, InternalError.
void run_command(int argc, char** argv, CLI::App& app);

// The message for a command line that cannot be parsed, with the nearest known word.
std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace pixart::tools
