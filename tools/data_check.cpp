// pixart data check: accounts for every sample.
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/check.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/text/tokenizer.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

struct CheckArguments {
  std::string tokenizer, quarantine;
  int64_t max_tokens = 0, examples = 5;  // 0: the run file's
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
                         {"buckets", ordered_json::array()},
                         {"duplicates", report.duplicates},
                         {fmt::format("too_thin_for_{}", data::kThinAt), report.thin},
                         {"examples", ordered_json::array()}};
  for (const auto& [name, kind] : report.captions)
    result["captions"][name] = {{"captions", kind.captions},
                                {"distinct", kind.distinct},
                                {"characters", json_of(kind.characters)},
                                {"tokens", json_of(kind.tokens)},
                                {"cut", kind.cut},
                                {"openings", json_of_openings(kind.openings)}};
  for (const auto& [key, count] : report.aspects) result["aspects"][key] = count;
  for (const auto& bucket : report.buckets)
    result["buckets"].push_back({{"stage", bucket.stage},
                                 {"resolution", bucket.resolution},
                                 {"ratio", bucket.shape.key},
                                 {"height", bucket.shape.height},
                                 {"width", bucket.shape.width},
                                 {"images", bucket.images}});
  for (const auto& example : report.examples)
    result["examples"].push_back({{"key", example.key},
                                  {"width", example.width},
                                  {"height", example.height},
                                  {"caption", example.caption}});
  return result;
}

void print_captions(const data::CheckReport& report, const CheckArguments& arguments) {
  for (const auto& [name, kind] : report.captions) {
    std::string tokens;
    if (!arguments.tokenizer.empty())
      tokens = fmt::format("; tokens {}; {:.1f} % longer than {}", text_of(kind.tokens),
                           100.0 * double(kind.cut) / double(kind.captions), arguments.max_tokens);
    print_line("  {:<10} {}, {} distinct; characters {}{}", name, with_thousands(kind.captions),
               with_thousands(kind.distinct), text_of(kind.characters), tokens);
    for (const auto& opening : kind.openings)
      print_line("  {:<10} {}: {}", opening.is_warning() ? "warning" : "opening", name,
                 data::describe(opening));
  }
}

void print_aspects(const data::CheckReport& report) {
  int64_t most = 1;
  for (const auto& [key, count] : report.aspects) most = std::max(most, count);
  print_line("  height / width (nearest official bucket)");
  for (const auto& [key, count] : report.aspects)
    print_line("  {:>6} {:>10} {}", key, with_thousands(count),
               std::string(size_t(1 + 40 * count / most), '#'));
}

// Of stages with several shapes: a step has as many samples of one bucket as there are, so small buckets make small
// micro-batches.
void print_buckets(const data::CheckReport& report) {
  for (size_t i = 0; i < report.buckets.size(); ++i) {
    const auto& bucket = report.buckets[i];
    if (i == 0 || report.buckets[i - 1].stage != bucket.stage)
      print_line("  buckets of stage {} (height x width)", bucket.stage);
    print_line("  {:>6} {:>10}  {} x {}, ratio {}", bucket.resolution, with_thousands(bucket.images),
               bucket.shape.height, bucket.shape.width, bucket.shape.key);
  }
}

void print(const data::CheckReport& report, const data::Dataset& dataset, const CheckArguments& arguments) {
  print_line("{}: {}", report.ledger.source, data::describe(report.ledger));
  print_line("  images   {}; width {}; height {}", human_bytes(report.bytes), text_of(report.width),
             text_of(report.height));
  print_captions(report, arguments);
  if (!report.class_sizes.empty())
    print_line("  classes    {} ({}); samples of a class {}",
               with_thousands(int64_t(report.class_sizes.size())), name_some(dataset.class_names()),
               text_of(data::spread_of(report.class_sizes)));
  print_aspects(report);
  print_buckets(report);
  std::vector<std::string> pairs;
  for (const auto& keys : report.duplicates) pairs.push_back(join(keys, " = "));
  if (!pairs.empty()) print_line("  same bytes  {} time(s): {}", pairs.size(), name_some(pairs));
  if (!report.thin.empty())
    print_line("  thin       {} image(s) are too narrow for a stage of {} pixels: {}", report.thin.size(),
               data::kThinAt, name_some(report.thin));
  for (const auto& example : report.examples)
    print_line("  example    {} ({} x {}): {}", example.key, example.width, example.height, example.caption);
  const auto& ledger = report.ledger;
  for (const auto& rejection : ledger.first)
    print_line("  rejected   {}: {} ({})", rejection.key, rejection.detail,
               data::to_string(rejection.reason));
  if (const int64_t more = ledger.count.rejected - int64_t(ledger.first.size()); more > 0)
    print_line("  rejected   and {} more; --quarantine FILE lists all", more);
}

void run_data_check(const SourceArguments& where, CheckArguments arguments) {
  if (arguments.max_tokens == 0) arguments.max_tokens = most_tokens(where);
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
  if (!arguments.quarantine.empty()) data::require_own_quarantine(arguments.quarantine);
  Problems problems;
  for (const auto& source : sources) {
    const auto dataset = data::open_dataset(source, index_place(where));
    options.shapes = stage_shapes(where, source.name);
    std::optional<data::QuarantineWriter> quarantine;
    if (!arguments.quarantine.empty()) quarantine.emplace(arguments.quarantine, source.name);
    if (quarantine)
      options.on_rejection = [&](const data::Rejection& rejection) { quarantine->add(rejection); };
    const auto report = data::check(source, *dataset, options);
    if (quarantine) quarantine->commit();
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
  if (arguments.json) print_json(all.dump(1, ' ', false, ordered_json::error_handler_t::replace));
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
  command
      ->add_option("--max-tokens", arguments->max_tokens,
                   "largest number of tokens for the text encoder (default: the run file's, otherwise 120)")
      ->check(CLI::PositiveNumber);
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
  command->callback([where, arguments] { run_data_check(*where, *arguments); });
}

}  // namespace pixart::tools
