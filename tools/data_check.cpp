// pixart data check: accounts for every sample.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/data/check.h"
#include "pixart/text/tokenizer.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

struct CheckArguments {
  std::string tokenizer, quarantine;
  int64_t max_tokens = 120, examples = 5;
  bool json = false;
};

std::string text_of(const data::Spread& spread) {
  return fmt::format("{} ... {} ... {}", with_thousands(spread.least), with_thousands(spread.median),
                     with_thousands(spread.most));
}

ordered_json json_of(const data::Spread& spread) { return {spread.least, spread.median, spread.most}; }

ordered_json json_of(const data::CheckReport& report) {
  ordered_json result = {{"source", report.ledger.source},
                         {"listed", report.ledger.listed},
                         {"accepted", report.ledger.accepted()},
                         {"rejected", report.ledger.by_reason()},
                         {"bytes", report.bytes},
                         {"width", json_of(report.width)},
                         {"height", json_of(report.height)},
                         {"captions", ordered_json::object()},
                         {"class_sizes", report.class_sizes},
                         {"aspects", ordered_json::object()},
                         {"duplicates", report.duplicates},
                         {fmt::format("too_thin_for_{}", data::kThinAt), report.thin},
                         {"examples", ordered_json::array()}};
  for (const auto& [name, kind] : report.captions)
    result["captions"][name] = {{"captions", kind.captions},
                                {"distinct", kind.distinct},
                                {"characters", json_of(kind.characters)},
                                {"tokens", json_of(kind.tokens)},
                                {"cut", kind.cut}};
  for (const auto& [key, count] : report.aspects) result["aspects"][key] = count;
  for (const auto& example : report.examples)
    result["examples"].push_back({{"key", example.key},
                                  {"width", example.width},
                                  {"height", example.height},
                                  {"caption", example.caption}});
  return result;
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

void print_captions(const data::CheckReport& report, const CheckArguments& arguments) {
  for (const auto& [name, kind] : report.captions) {
    std::printf("  %-10s %s, %s distinct; characters %s", name.c_str(), with_thousands(kind.captions).c_str(),
                with_thousands(kind.distinct).c_str(), text_of(kind.characters).c_str());
    if (!arguments.tokenizer.empty())
      std::printf("; tokens %s; %.1f %% longer than %lld", text_of(kind.tokens).c_str(),
                  100.0 * double(kind.cut) / double(kind.captions),
                  static_cast<long long>(arguments.max_tokens));
    std::printf("\n");
  }
}

void print_aspects(const data::CheckReport& report) {
  int64_t most = 1;
  for (const auto& [key, count] : report.aspects) most = std::max(most, count);
  std::printf("  height / width (nearest official bucket)\n");
  for (const auto& [key, count] : report.aspects)
    std::printf("  %6s %10s %s\n", key.c_str(), with_thousands(count).c_str(),
                std::string(size_t(1 + 40 * count / most), '#').c_str());
}

void print(const data::CheckReport& report, const data::Dataset& dataset, const CheckArguments& arguments) {
  std::printf("%s: %s\n", report.ledger.source.c_str(), data::describe(report.ledger).c_str());
  std::printf("  images   %s; width %s; height %s\n", human_bytes(report.bytes).c_str(),
              text_of(report.width).c_str(), text_of(report.height).c_str());
  print_captions(report, arguments);
  if (!report.class_sizes.empty())
    std::printf("  classes    %s (%s); samples of a class %s\n",
                with_thousands(int64_t(report.class_sizes.size())).c_str(),
                name_some(dataset.class_names()).c_str(),
                text_of(data::spread_of(report.class_sizes)).c_str());
  print_aspects(report);
  std::vector<std::string> pairs;
  for (const auto& keys : report.duplicates) pairs.push_back(join(keys, " = "));
  if (!pairs.empty()) std::printf("  same bytes  %zu time(s): %s\n", pairs.size(), name_some(pairs).c_str());
  if (!report.thin.empty())
    std::printf("  thin       %zu image(s) are too narrow for a stage of %d pixels: %s\n", report.thin.size(),
                data::kThinAt, name_some(report.thin).c_str());
  for (const auto& example : report.examples)
    std::printf("  example    %s (%d x %d): %s\n", example.key.c_str(), example.width, example.height,
                one_line(example.caption).c_str());
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, report.ledger.rejected.size()); ++i) {
    const auto& rejection = report.ledger.rejected[i];
    std::printf("  rejected   %s: %s (%s)\n", rejection.key.c_str(), rejection.detail.c_str(),
                std::string(data::to_string(rejection.reason)).c_str());
  }
  if (report.ledger.rejected.size() > kShown)
    std::printf("  rejected   and %zu more; --quarantine FILE lists all\n",
                report.ledger.rejected.size() - kShown);
}

void run(const SourceArguments& where, const CheckArguments& arguments) {
  std::unique_ptr<text::Tokenizer> tokenizer;
  data::CheckOptions options{.examples = arguments.examples, .max_tokens = arguments.max_tokens};
  if (!arguments.tokenizer.empty()) {
    tokenizer = std::make_unique<text::Tokenizer>(arguments.tokenizer);
    options.count_tokens = [&](const std::string& text) { return int64_t(tokenizer->encode(text).size()); };
  }
  ordered_json all = ordered_json::array();
  const auto sources = chosen_sources(where);
  if (sources.size() > 1 && !arguments.quarantine.empty())
    throw UserError("--quarantine takes one source; choose it with --source.");
  Problems problems;
  for (const auto& source : sources) {
    const auto dataset = data::open_dataset(source);
    options.shapes = stage_shapes(where, source.name);
    const auto report = data::check(source, *dataset, options);
    if (!arguments.quarantine.empty()) data::write_quarantine(arguments.quarantine, report.ledger);
    if (arguments.json)
      all.push_back(json_of(report));
    else
      print(report, *dataset, arguments);
    try {
      data::check_budget(source, report.ledger);
    } catch (const UserError& error) {
      problems.add(error.what());
    }
  }
  if (arguments.json)
    std::printf("%s\n", all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  problems.throw_if_any("data check");
}

}  // namespace

void add_data_check(CLI::App& data) {
  auto where = std::make_shared<SourceArguments>();
  auto arguments = std::make_shared<CheckArguments>();
  auto* command = data.add_subcommand(
      "check",
      "Open every sample and show which are accepted, which are rejected and why, and what they "
      "contain.");
  add_source_options(*command, where);
  command->add_option("--tokenizer", arguments->tokenizer,
                      "spiece.model, tokenizer.json or their folder: count captions that will be cut");
  command->add_option("--max-tokens", arguments->max_tokens, "largest number of tokens for the text encoder")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--examples", arguments->examples, "number of samples to show")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--quarantine", arguments->quarantine,
                      "file for rejected samples: {source, row, key, offset, reason, detail} per line");
  command->add_flag("--json", arguments->json, "print JSON");
  command->footer(
      "Examples:\n  pixart data check data/sam --tokenizer t5-v1_1-xxl\n"
      "  pixart data check configs/demo/stamps.yaml --source stamps\n"
      "  pixart data check 'shards/sam-*.tar' --quarantine bad.jsonl\n"
      "Exit code 78 if more samples are unusable than the source's quarantine_budget allows.");
  command->callback([where, arguments] { run(*where, *arguments); });
}

}  // namespace pixart::tools
