// pixart data score: CLIP and aesthetic scores of each row of a source.
#include <charconv>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/nn/device.h"
#include "pixart/score/row_scores.h"

namespace pixart::tools {
namespace {

struct ScoreArguments {
  score::RowScoreRequest request;
  std::string clip, clip_tokenizer, aesthetic_head, out, part;
  std::vector<std::string> metrics;
};

bool take_number(std::string_view text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "3/8": the third of eight parts. Ranks share the rows without being told.
void choose_part(const std::string& text, score::RowScoreRequest& request) {
  const auto launch = distributed::launch_from_environment();
  request.local_rank = launch.local_rank;
  nn::set_num_threads(0, launch.local_world_size);
  request.part = launch.rank, request.parts = launch.world_size;
  if (text.empty()) return;
  const size_t slash = text.find('/');
  int64_t part = 0;
  const bool is_part = slash != std::string::npos &&
                       take_number(std::string_view(text).substr(0, slash), part) &&
                       take_number(std::string_view(text).substr(slash + 1), request.parts) && part >= 1 &&
                       part <= request.parts && request.parts <= 1'000'000;
  if (!is_part)
    throw UserError(fmt::format("--part {}: give PART/PARTS, e.g. 3/8 for the third of eight.", text));
  request.part = part - 1;
}

void print(const score::RowScoreReport& report, const score::RowScoreRequest& request) {
  if (!report.is_complete) {
    print_line("part {} of {} is done; the last one to end writes {}", request.part + 1, request.parts,
               request.out.string());
    return;
  }
  print_line("{}: {}", report.ledger.source, data::describe(report.ledger));
  print_line("  {:<24} {:>12} {:>12} {:>12}", "", "5 %", "median", "95 %");
  for (const auto& field : report.fields)
    print_line("  {:<24} {:>12.4f} {:>12.4f} {:>12.4f}", field.name, field.p5, field.median, field.p95);
  print_line("in a run file, for example: scores: {{file: {}, limits: [{{name: {}, at_least: ...}}]}}",
             request.out.string(), report.fields.empty() ? "FIELD" : report.fields.front().name);
}

// Of the scores of single rows: other metrics are of whole sets of images.
score::Metric metric_of(const std::string& word) {
  std::vector<std::string> known;
  for (const auto metric : score::row_metrics()) {
    known.push_back(word_of(metric));
    if (known.back() == word) return metric;
  }
  throw UserError(unknown_name("metric", word, known));
}

void run_data_score(const SourceArguments& where, ScoreArguments arguments) {
  catch_stop_signals();
  auto& request = arguments.request;
  if (!arguments.metrics.empty()) request.metrics.clear();
  for (const auto& word : arguments.metrics) {
    const auto metric = metric_of(word);
    if (!contains(request.metrics, metric)) request.metrics.push_back(metric);
  }
  request.clip = with_home(arguments.clip);
  request.clip_tokenizer = with_home(arguments.clip_tokenizer);
  request.aesthetic_head = with_home(arguments.aesthetic_head);
  request.out = with_home(arguments.out);
  std::error_code error;
  if (std::filesystem::is_directory(request.out, error))
    throw UserError(fmt::format("--out {} is a folder: give a file for the scores.", request.out.string()));
  choose_part(arguments.part, request);
  auto source = chosen_source(where);
  source.scores = {};  // they are what is made here
  if (request.metrics == std::vector{score::Metric::kAesthetic}) {
    source.missing_caption = data::MissingCaption::kEmpty;
    source.missing_caption_share = 1;
  }
  print(score::score_rows(source, *data::open_dataset(source, index_place(where)), request), request);
}

}  // namespace

void add_data_score(CLI::App& data) {
  auto where = std::make_shared<SourceArguments>();
  auto arguments = std::make_shared<ScoreArguments>();
  auto* command = data.add_subcommand(
      "score",
      "Score each image of a source with CLIP and LAION's aesthetic head, for `scores` of a run file.");
  add_source_options(*command, where);
  command->add_option("--clip", arguments->clip, "folder of a CLIP model (Hugging Face, open_clip)")
      ->required();
  command->add_option("--clip-tokenizer", arguments->clip_tokenizer,
                      "folder of its tokenizer, where that is not in the model's folder or next to it");
  command->add_option("--aesthetic-head", arguments->aesthetic_head,
                      "LAION's head for aesthetic, e.g. sac+logos+ava1-l14-linearMSE.pth");
  command
      ->add_option("--metrics", arguments->metrics,
                   "clip (cosine with the captions), aesthetic, pickscore (default: clip,aesthetic)")
      ->delimiter(',');
  command->add_option("--out", arguments->out, "file for the scores: a JSON line for each row")->required();
  command->add_option(
      "--part", arguments->part,
      "do only part K of N, as K/N; processes that do the others share --out (default: that of this "
      "rank, under pixart launch)");
  command->add_option("--batch", arguments->request.batch_size, "rows that the network sees at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--device", arguments->request.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  pixart data score my-images --clip clip-vit-large-patch14 --aesthetic-head sac+logos+ava1-l14-linearMSE.pth "
      "--out scores.jsonl\n"
      "  pixart data score run.yaml --source sam --metrics clip --clip clip-vit-base-patch32 --out sam.jsonl\n"
      "  pixart launch -n 8 -- data score run.yaml --clip clip-vit-base-patch32 --metrics clip --out scores.jsonl\n"
      "If it is stopped or killed, the same command continues; the file is the same to the byte. OUT.quarantine.jsonl "
      "lists\n"
      "what could not be scored.");
  command->callback([where, arguments] { run_data_score(*where, *arguments); });
}

}  // namespace pixart::tools
