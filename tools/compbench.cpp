#include "pixart/score/compbench.h"

#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/score/score.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using score::CompBenchCategory;

namespace {

struct CompbenchArguments {
  score::CompBenchRequest request;
  score::BlipVqaOptions vqa;
  std::string images, prompts, questions, answers, boxes, clip, clip_tokenizer, out, wordnet, tagger;
  std::vector<std::string> categories;
  bool json = false;
};

std::vector<CompBenchCategory> categories_of(const std::vector<std::string>& words) {
  std::vector<CompBenchCategory> categories;
  for (const auto& word : words) {
    const auto category = enum_of_word<CompBenchCategory>(word, "category");
    if (!contains(categories, category)) categories.push_back(category);
  }
  return categories;
}

fs::path wordnet_of(const CompbenchArguments& arguments) {
  return arguments.wordnet.empty() ? text::wordnet_folder() : fs::path(with_home(arguments.wordnet));
}

void print(const score::CompBenchResult& result) {
  for (const auto& [name, value] : result.values) print_line("{:<31} {:.6f}", name, value);
  print_line("");
  for (const auto& line : result.table) print_line("{}", line);
  for (const auto& note : result.notes) print_line("{}", note);
}

void run_score(CompbenchArguments& arguments) {
  auto& request = arguments.request;
  request.images = with_home(arguments.images);
  request.prompts = with_home(arguments.prompts);
  request.categories = categories_of(arguments.categories);
  request.questions = with_home(arguments.questions);
  request.wordnet = wordnet_of(arguments);
  request.tagger = with_home(arguments.tagger);
  request.answers = with_home(arguments.answers);
  request.boxes = with_home(arguments.boxes);
  request.clip = with_home(arguments.clip);
  request.clip_tokenizer = with_home(arguments.clip_tokenizer);
  request.out = with_home(arguments.out.empty() ? arguments.images : arguments.out);
  if (!arguments.vqa.path.empty()) {
    request.vqa = arguments.vqa;
    request.vqa->path = with_home(arguments.vqa.path);
    request.vqa->tokenizer = with_home(arguments.vqa.tokenizer);
    request.vqa->device = request.device;
    request.vqa->batch_size = request.batch_size;
  }
  const fs::path card = score::card_path(request.out / "score.json");
  const auto result = score::score_compbench(request);
  if (arguments.json)
    print_json(result.card);
  else
    print(result);
  write_file_atomically(link_target(card), result.card);
  log::info("wrote {}", card.string());
}

void require_own_questions(const fs::path& file) {
  constexpr uint64_t kLargest = uint64_t{256} << 20;
  std::error_code error;
  if (!fs::exists(file, error)) return;
  const bool is_read = fs::is_regular_file(file, error) && fs::file_size(file, error) <= kLargest;
  const std::string text = is_read ? read_file(file, kLargest) : "another file";
  if (!text.empty() && !text.starts_with("{\"category\":"))
    throw UserError(fmt::format(
        "{} is there and has no questions of pixart compbench, so it is not replaced: give another file, "
        "or move it away.",
        file.string()));
}

void run_questions(const CompbenchArguments& arguments) {
  require_own_questions(with_home(arguments.out));
  const std::string lines =
      score::compbench_questions(with_home(arguments.prompts), categories_of(arguments.categories),
                                 wordnet_of(arguments), with_home(arguments.tagger));
  if (arguments.out.empty()) return print_text(printable(lines, LineBreaks::kKept));
  write_file_atomically(link_target(with_home(arguments.out)), lines);
  log::info("wrote {}", arguments.out);
}

void add_shared(CLI::App& command, CompbenchArguments& arguments) {
  command
      .add_option("--prompts", arguments.prompts,
                  "the folder examples/dataset of the benchmark, with color_val.txt and so on")
      ->required();
  command
      .add_option("--category", arguments.categories,
                  join(words_of_enum<CompBenchCategory>(), ", ") +
                      "; several with commas (default: all that are there)")
      ->delimiter(',')
      ->check(CLI::IsMember(words_of_enum<CompBenchCategory>()));
  command.add_option(
      "--wordnet", arguments.wordnet,
      "folder of WordNet's files (default: WNSEARCHDIR, or /usr/share/wordnet of Debian's wordnet-base)");
  command
      .add_option(
          "--tagger", arguments.tagger,
          "folder of spaCy's en_core_web_sm: it finds the objects of spatial and complex prompts, and the adjectives that the "
          "texts of complex prompts are without (default: rules of this program do)")
      ->check(
          [](const std::string& folder) { return folder.empty() ? "the name of the folder is empty" : ""; });
}

void add_networks(CLI::App& command, CompbenchArguments& arguments) {
  command.add_option("--vqa", arguments.vqa.path,
                     "BLIP-VQA: model_base_vqa_capfilt_large.pth, or a folder of Hugging Face's layout");
  command.add_option("--vqa-tokenizer", arguments.vqa.tokenizer,
                     "folder with vocab.txt of bert-base-uncased, where it is not in the model's folder");
  command.add_flag("--other-size", arguments.vqa.allow_other_size,
                   "take a BLIP-VQA model that does not see 480 x 480 pixels; its values do not compare");
  command.add_option("--answers", arguments.answers,
                     "recorded answers in place of a model: JSON lines with image, question and answer");
  command.add_option(
      "--boxes", arguments.boxes,
      "boxes of UniDet for spatial and complex: JSON lines with image and objects (label, score, box)");
  command.add_option("--clip", arguments.clip,
                     "folder of CLIP ViT-B/32 (Hugging Face, open_clip) for non_spatial and complex");
  command.add_option("--clip-tokenizer", arguments.clip_tokenizer,
                     "folder of its tokenizer, where that is not in the model's folder or next to it");
  command.add_option("--batch", arguments.request.batch_size, "questions that the network sees at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--device", arguments.request.device, "auto, cpu, cuda, cuda:<i>")
      ->capture_default_str();
}

void add_compbench_score(CLI::App& compbench) {
  auto arguments = std::make_shared<CompbenchArguments>();
  auto* command =
      compbench.add_subcommand("score", "Score images of the benchmark's prompts with its arithmetic.");
  command
      ->add_option(
          "IMAGES", arguments->images,
          "folder with color/samples/PROMPT_000000.png and so on, as `pixart sample --suite` draws it")
      ->required();
  add_shared(*command, *arguments);
  command->add_option(
      "--questions", arguments->questions,
      "noun chunks of the prompts, to compare with published rows: JSON lines with category, prompt and chunks");
  add_networks(*command, *arguments);
  command->add_option("--per-prompt", arguments->request.images_per_prompt, "images of each prompt")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option(
      "--out", arguments->out,
      "write the benchmark's files, what a restart continues from, and score.json here (default: IMAGES)");
  command->add_flag("--json", arguments->json, "print the card");
  command->footer(
      "Examples:\n"
      "  pixart compbench score images --prompts T2I-CompBench/examples/dataset --category color,shape,texture\n"
      "    --vqa model_base_vqa_capfilt_large.pth --vqa-tokenizer bert-base-uncased --questions spacy.jsonl\n"
      "  pixart compbench score images --prompts dataset --boxes unidet.jsonl --clip clip-vit-base-patch32\n"
      "    --category spatial,non_spatial --out scores\n\n"
      "The same command continues after an interruption: answers in OUT are not computed again.");
  command->callback([arguments] { run_score(*arguments); });
}

void add_compbench_questions(CLI::App& compbench) {
  auto arguments = std::make_shared<CompbenchArguments>();
  auto* command =
      compbench.add_subcommand("questions", "Print the noun chunks of the prompts, one JSON line for each.");
  add_shared(*command, *arguments);
  command->add_option("--out", arguments->out, "write them to this file");
  command->footer(
      "Examples:\n"
      "  pixart compbench questions --prompts T2I-CompBench/examples/dataset --out questions.jsonl");
  command->callback([arguments] { run_questions(*arguments); });
}

}  // namespace

void add_compbench(CLI::App& app) {
  auto* command = app.add_subcommand(
      "compbench", "T2I-CompBench: scores images of its prompts, and prints its questions.");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n  pixart compbench score --help\n  pixart compbench questions --prompts dataset");
  add_compbench_score(*command);
  add_compbench_questions(*command);
}

}  // namespace pixart::tools
