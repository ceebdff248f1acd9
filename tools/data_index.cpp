// pixart data index: makes or checks the indexes of sources.
#include <nlohmann/json.hpp>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/index_report.h"

namespace pixart::tools {
using nlohmann::ordered_json;

namespace {

struct IndexArguments {
  bool verify = false, json = false;
};

std::string describe(const std::string& source, const data::IndexReport& report, bool verify) {
  if (report.file.empty())
    return fmt::format("{}: {} rows; a source of this type needs no index", source,
                       with_thousands(report.rows));
  const char* state = report.is_new ? "made" : verify ? "compared with the source" : "up to date";
  return fmt::format("{}: {} rows in {}, {} ({:.1f} bytes a row without keys), {} in {}", source,
                     with_thousands(report.rows), report.file.string(), human_bytes(report.bytes),
                     report.row_bytes, state, human_seconds(report.seconds));
}

ordered_json json_of(const std::string& source, const data::IndexReport& report) {
  return {{"source", source},          {"file", report.file.string()},   {"rows", report.rows},
          {"bytes", report.bytes},     {"row_bytes", report.row_bytes},  {"is_new", report.is_new},
          {"seconds", report.seconds}, {"difference", report.difference}};
}

void run_data_index(const SourceArguments& where, const IndexArguments& arguments) {
  Problems problems;
  ordered_json all = ordered_json::array();
  for (const auto& source : chosen_sources(where)) {
    const auto report = data::index_source(source, index_place(where), arguments.verify);
    if (arguments.json)
      all.push_back(json_of(source.name, report));
    else
      print_line("{}", describe(source.name, report, arguments.verify));
    if (!report.difference.empty())
      problems.add(
          fmt::format("{} is not the index of source {} any more: {}. The next command that opens the "
                      "source makes it anew",
                      report.file.string(), source.name, report.difference));
  }
  if (arguments.json) print_json(all.dump(1, ' ', false, ordered_json::error_handler_t::replace));
  problems.throw_if_any("data index");
}

}  // namespace

void add_data_index(CLI::App& data) {
  auto where = std::make_shared<SourceArguments>();
  auto arguments = std::make_shared<IndexArguments>();
  auto* command = data.add_subcommand(
      "index", "Make the index of a source, which later commands and all ranks share, or check it.");
  add_source_options(*command, where);
  command->add_flag("--verify", arguments->verify,
                    "list the source again and compare every row, caption and size with the index");
  command->add_flag("--json", arguments->json, "print JSON");
  command->footer(
      "Examples:\n  pixart data index run.yaml\n"
      "  pixart data index run.yaml --source sam --verify\n"
      "  pixart data index 'shards/sam-*.tar'\n"
      "Indexes of a run file are in its features folder (<features>/index), others in the cache folder of the "
      "user.\nExit code 78 if an index differs from its source.");
  command->callback([where, arguments] { run_data_index(*where, *arguments); });
}

}  // namespace pixart::tools
