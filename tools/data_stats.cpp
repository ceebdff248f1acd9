#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/web_address.h"
#include "pixart/report/noun_report.h"

namespace pixart::tools {
using data::NounStatistics;
using nlohmann::ordered_json;

namespace {

struct StatsArguments {
  std::shared_ptr<SourceArguments> source = std::make_shared<SourceArguments>();
  std::vector<std::string> captions, after;
  std::string before, html, wordnet;
  int64_t top = 20;
  bool with_unknown = false, json = false;
};

struct Counted {
  std::vector<NounStatistics> rows;
  std::map<std::string, int64_t> not_counted;  // images by reason
  int64_t images = 0;                          // listed
};

void count_source(const data::SourceConfig& config, const data::IndexPlace& place, text::NounFinder& finder,
                  bool with_unknown, Counted& counted) {
  const auto dataset = data::open_dataset(config, place);
  auto found = data::count_nouns(*dataset, finder, config.name, with_unknown);
  for (const auto& [reason, count] : found.not_counted) counted.not_counted[reason] += count;
  counted.images += dataset->size();
  for (auto& row : found.kinds) counted.rows.push_back(std::move(row));
}

// The requested rows; the first one is the one to compare with.
std::vector<NounStatistics> selected(const std::vector<NounStatistics>& rows,
                                     const StatsArguments& arguments) {
  std::vector<std::string> wanted;
  if (!arguments.before.empty()) wanted.push_back(arguments.before);
  wanted.insert(wanted.end(), arguments.captions.begin(), arguments.captions.end());
  wanted.insert(wanted.end(), arguments.after.begin(), arguments.after.end());
  if (wanted.empty()) return rows;
  std::vector<std::string> labels;
  for (const auto& row : rows) labels.push_back(report::row_label(row, rows));
  std::vector<bool> taken(rows.size());
  std::vector<NounStatistics> result;
  Problems problems;
  const auto take = [&](size_t i) {
    if (!taken[i]) result.push_back(rows[i]);
    taken[i] = true;
  };
  for (const auto& name : wanted) {
    bool found = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (name != labels[i] && name != rows[i].kind && name != rows[i].source) continue;
      take(i);
      found = true;
    }
    if (!found) problems.add(fmt::format("no captions '{}'.{}", name, did_you_mean(name, labels)));
  }
  problems.throw_if_any(fmt::format("there are: {}", join(labels, ", ")));
  if (!arguments.before.empty() && arguments.captions.empty() && arguments.after.empty())
    for (size_t i = 0; i < rows.size(); ++i) take(i);
  return result;
}

std::vector<std::string> notes_on(const Counted& counted, const StatsArguments& arguments) {
  int64_t not_counted = 0;
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : counted.not_counted) {
    not_counted += count;
    reasons.push_back(fmt::format("{} {}", reason, with_thousands(count)));
  }
  std::vector<std::string> notes;
  if (not_counted > 0)
    notes.push_back(fmt::format("{} of {} images are not counted: {}.", with_thousands(not_counted),
                                with_thousands(counted.images), join(reasons, ", ")));
  for (const auto& row : counted.rows)
    if (row.unknown_total > 0)
      notes.push_back(
          fmt::format("{}: {} words ({} different) that are not in WordNet, such as names and misspellings, "
                      "do not count as nouns here (with --with-unknown they do).",
                      report::row_label(row, counted.rows), with_thousands(row.unknown_total),
                      with_thousands(row.unknown_distinct)));
  for (const auto& row : counted.rows)
    for (const auto& opening : row.openings)
      notes.push_back(fmt::format("{}{}: {}", opening.is_warning() ? "Warning: " : "",
                                  report::row_label(row, counted.rows), data::describe(opening)));
  notes.push_back(fmt::format(
      "Valid nouns occur more than {} times. Nouns are told by WordNet's dictionary, the paper's by NLTK's "
      "tagger, which {}.",
      data::kValidAbove,
      arguments.with_unknown
          ? "also takes most words that are in no dictionary for nouns"
          : "takes most unknown words for nouns too: compare nouns per image rather than shares"));
  return notes;
}

ordered_json json_of(const NounStatistics& row, int64_t top) {
  ordered_json nouns = ordered_json::array();
  for (const auto& [noun, count] : row.by_count) {
    if (int64_t(nouns.size()) == top) break;
    nouns.push_back({{"noun", noun}, {"count", count}});
  }
  return {{"source", row.source},
          {"captions", row.kind},
          {"images", row.images},
          {"num_captions", row.captions},
          {"words", row.words},
          {"valid_nouns", row.valid},
          {"distinct_nouns", row.distinct},
          {"valid_share", row.valid_share()},
          {"total_nouns", row.total},
          {"nouns_per_image", row.per_image()},
          {"unknown_distinct", row.unknown_distinct},
          {"unknown_total", row.unknown_total},
          {"caption_words", {{"p5", row.words_5}, {"median", row.words_median}, {"p95", row.words_95}}},
          {"openings", json_of_openings(row.openings)},
          {"top", nouns}};
}

void print_statistics(const std::vector<NounStatistics>& rows, const Counted& counted, int64_t top) {
  ordered_json result = {
      {"rows", ordered_json::array()}, {"images", counted.images}, {"not_counted", counted.not_counted}};
  for (const auto& row : rows) result["rows"].push_back(json_of(row, top));
  for (const auto& row : data::paper_nouns())
    result["paper"].push_back({{"captions", row.name},
                               {"valid_nouns", row.valid},
                               {"distinct_nouns", row.distinct},
                               {"valid_share", row.valid_share},
                               {"total_nouns", row.total},
                               {"nouns_per_image", row.per_image}});
  pixart::print_json(result.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void print(const std::vector<NounStatistics>& rows, const std::vector<std::string>& notes, int64_t top) {
  print_text(report::noun_table(rows));
  for (const auto& sentence : report::noun_changes(rows, 0)) print_line("{}", sentence);
  for (const auto& row : rows) {
    std::vector<std::string> nouns;
    for (const auto& [noun, count] : row.by_count) {
      if (int64_t(nouns.size()) == top) break;
      nouns.push_back(fmt::format("{} {}", noun, with_thousands(count)));
    }
    if (!nouns.empty()) print_line("{}: {}", report::row_label(row, rows), join(nouns, ", "));
  }
  for (const auto& note : notes) print_line("{}", note);
}

void run(const StatsArguments& arguments) {
  if (!arguments.html.empty()) report::check_noun_page_file(arguments.html);
  const auto sources = chosen_sources(*arguments.source);
  text::NounFinder finder(arguments.wordnet.empty() ? text::wordnet_folder()
                                                    : std::filesystem::path(arguments.wordnet));
  Counted counted;
  for (const auto& source : sources)
    count_source(source, index_place(*arguments.source), finder, arguments.with_unknown, counted);
  if (counted.rows.empty())
    throw UserError(fmt::format("{}: none of the {} images has a caption; `pixart caption` can write some.",
                                data::shown_address(arguments.source->where),
                                with_thousands(counted.images)));
  const auto rows = selected(counted.rows, arguments);
  counted.rows = rows;
  const auto notes = notes_on(counted, arguments);
  if (arguments.json)
    print_statistics(rows, counted, arguments.top);
  else
    print(rows, notes, arguments.top);
  if (arguments.html.empty()) return;
  write_file_atomically(
      link_target(arguments.html),
      report::noun_page(rows, {.title = "Captions of " + data::shown_address(arguments.source->where),
                               .notes = notes,
                               .before = 0,
                               .top = size_t(arguments.top)}));
  log::info("wrote {}", arguments.html);
}

}  // namespace

void add_data_stats(CLI::App& data) {
  auto arguments = std::make_shared<StatsArguments>();
  auto* command = data.add_subcommand(
      "stats", "Noun statistics of captions as in the paper's Table 1, and caption lengths.");
  add_source_options(*command, arguments->source);
  command->add_option("--captions", arguments->captions, "show only this kind of captions; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--before", arguments->before,
                      "kind of captions to compare the others with (default: the first)");
  command
      ->add_option("--after", arguments->after,
                   "kind of captions to compare with --before; may be repeated (default: all others)")
      ->allow_extra_args(false);
  command->add_option("--html", arguments->html,
                      "also write a page with the curve of all nouns to this file");
  command->add_option("--top", arguments->top, "list this many of the most frequent nouns")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}))
      ->capture_default_str();
  command->add_flag("--with-unknown", arguments->with_unknown,
                    "count words that are not in WordNet as nouns, as NLTK's tagger mostly does");
  command->add_option(
      "--wordnet", arguments->wordnet,
      "folder of WordNet's files (default: WNSEARCHDIR, or /usr/share/wordnet of Debian's wordnet-base)");
  command->add_flag("--json", arguments->json, "print JSON");
  command->footer(
      "Examples:\n"
      "  pixart data stats my-images --html captions.html\n"
      "  pixart data stats run.yaml --source web --before alt --after llava\n"
      "  pixart data stats my-images --set \"captions=[{name: caption}, {name: llava, from: llava.jsonl}]\"\n"
      "  pixart data stats my-images --set missing_caption=skip --set missing_caption_share=0.2\n\n"
      "For a source with several kinds of captions, the kinds in its `captions` key are counted, else the "
      "first.");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
