// pixart study: user studies.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/secret.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/sample/suite.h"
#include "pixart/study/make.h"
#include "pixart/study/score.h"
#include "pixart/study/serve.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

// --- make

struct MakeArguments {
  std::vector<std::string> models, questions = {"quality", "alignment"};
  std::string prompts, design = "pairs", consent, out, key;
  std::optional<int64_t> count;
  std::optional<uint64_t> seed;
  int64_t image = 0;
  study::MakeRequest request;
};

struct NamedFolder {
  std::string name;
  fs::path folder;
};

std::vector<NamedFolder> named_folders(const std::vector<std::string>& arguments, Problems& problems) {
  std::vector<NamedFolder> folders;
  for (const auto& argument : arguments) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems.add(fmt::format("'{}': give a name and a folder of images, as NAME=FOLDER", argument));
      continue;
    }
    const fs::path folder = with_home(argument.substr(equals + 1));
    if (!fs::is_directory(folder)) problems.add(folder.string() + " is not a folder");
    folders.push_back({argument.substr(0, equals), folder});
  }
  return folders;
}

// Where `pixart sample --suite` puts an image of a prompt, also if it drew several of each; images of other programs may
// have other endings. The first one that is there, or the suite's own name.
fs::path image_of(const fs::path& folder, const sample::Suite& suite, int64_t file, int64_t image) {
  const fs::path own = folder / suite.file_name(file);
  fs::path stem = own;
  stem.replace_extension();
  std::vector<std::string> stems = {stem.string()};
  if (suite.files_per_item() == 1)
    for (const int digits : {1, 2, 3})
      stems.push_back(fmt::format("{}_{:0{}}", stem.string(), image, digits));
  for (const auto& one : stems)
    for (const char* ending : {".png", ".jpg", ".jpeg", ".webp", ".avif"})
      if (fs::is_regular_file(one + ending)) return one + ending;
  return own;
}

sample::Suite suite_of(const MakeArguments& arguments) {
  auto suite = sample::read_suite({.named = arguments.prompts, .count = arguments.count});
  if (suite.kind == sample::SuiteKind::kClasses) throw UserError("--prompts: classes have no prompts.");
  if (suite.files_per_item() > 1 && arguments.image >= suite.files_per_item())
    throw UserError(fmt::format("--image {}: there are {} images of each prompt, counted from 0.",
                                arguments.image, suite.files_per_item()));
  return suite;
}

uint64_t seed_of(const MakeArguments& arguments) {
  if (arguments.seed) return *arguments.seed;
  uint64_t seed = 0;
  for (const char byte : random_bytes(sizeof seed)) seed = seed << 8 | uint8_t(byte);
  return seed;
}

void make(MakeArguments arguments) {
  auto& request = arguments.request;
  Problems problems;
  const auto folders = named_folders(arguments.models, problems);
  sample::Suite suite;
  try {
    suite = suite_of(arguments);
  } catch (const UserError& error) {
    problems.add(error.what());
  }
  problems.throw_if_any("study make");
  for (const auto& item : suite.items) request.prompts.push_back(item.prompt);
  const int64_t image = suite.files_per_item() > 1 ? arguments.image : 0;
  for (const auto& [name, folder] : folders) {
    study::Contestant model{.name = name};
    for (int64_t i = 0; i < int64_t(suite.items.size()); ++i)
      model.images.push_back(image_of(folder, suite, i * suite.files_per_item() + image, arguments.image));
    request.models.push_back(std::move(model));
  }
  request.design = enum_of_word<study::Design>(arguments.design, "--design");
  request.questions.clear();
  for (const auto& word : arguments.questions)
    request.questions.push_back(enum_of_word<study::Question>(word, "question"));
  request.seed = seed_of(arguments);
  if (!arguments.consent.empty()) request.consent = trimmed(read_file(with_home(arguments.consent), 100'000));
  fs::path out = with_home(arguments.out);
  request.out = out.has_filename() ? out : out.parent_path();
  request.key = arguments.key.empty() ? request.out.string() + ".key.json" : with_home(arguments.key);
  const auto made = study::make_study(request);
  const std::string screens =
      made.fewest_screens == made.most_screens
          ? with_thousands(made.most_screens)
          : fmt::format("{} to {}", with_thousands(made.fewest_screens), with_thousands(made.most_screens));
  constexpr double kSecondsOfScreen = 8;
  print_line("{} comparisons, each seen by {} of {} people; a person sees {} screens, about {}",
             with_thousands(made.comparisons), request.seen, request.people, screens,
             human_seconds(kSecondsOfScreen * double(made.most_screens)));
  print_line("people get {} ({} images); open {}", request.out.string(), with_thousands(made.images),
             (request.out / "index.html").string());
  print_line("keep {} for yourself: it says which model drew what", request.key.string());
}

void add_numbers(CLI::App& command, const std::shared_ptr<MakeArguments>& arguments) {
  auto& request = arguments->request;
  command.add_option("--people", request.people, "number of people (default: 10)")
      ->check(CLI::Range(1, 10'000));
  command.add_option("--seen", request.seen, "people who see each comparison (default: 3)")
      ->check(CLI::Range(1, 10'000));
  command
      .add_option(
          "--repeats", request.repeats,
          "screens of a person and question that are shown again, to see if the answer is the same (default: 3)")
      ->check(CLI::Range(0, 100));
  command
      .add_option(
          "--degraded", request.degraded,
          "screens of a person and question with a destroyed image, which must come last (default: 4)")
      ->check(CLI::Range(0, 100));
  command.add_option("--seed", arguments->seed,
                     "of names, order and sides (default: a random one, so that nobody can guess the names)");
  command
      .add_option("--count", arguments->count,
                  "images of each prompt in the folders, as in pixart sample --count")
      ->check(CLI::Range(1, 100'000));
  command.add_option("--image", arguments->image, "which of them is shown, counted from 0 (default: 0)")
      ->check(CLI::Range(0, 99'999));
  command.add_option("--jpeg", request.jpeg, "write JPEG files of this quality in place of PNG")
      ->check(CLI::Range(1, 100));
}

void add_make(CLI::App& app) {
  auto arguments = std::make_shared<MakeArguments>();
  auto* command = app.add_subcommand("make", "Make a folder that people open in their browser.");
  command
      ->add_option("MODEL", arguments->models,
                   "models as NAME=FOLDER, 2 to 12; the names are in the key only")
      ->required();
  command
      ->add_option(
          "--prompts", arguments->prompts,
          "the prompts: a file or folder as for pixart sample --suite, by whose names the images are found")
      ->required();
  command->add_option("--out", arguments->out, "the new folder")->required();
  command->add_option("--key", arguments->key,
                      "the file that says which model drew what (default: OUT.key.json)");
  command->add_option(
      "--design", arguments->design,
      "pairs: two images on a screen (default); ranking: those of all models, as in the paper");
  command
      ->add_option("--questions", arguments->questions,
                   "quality, alignment or both, with a comma (default: both, one after the other)")
      ->delimiter(',');
  command->add_option("--title", arguments->request.title, "title of the page");
  command->add_option("--consent", arguments->consent, "file with the text that people agree to");
  command->add_option("--post", arguments->request.post,
                      "address to which the page sends answers, too (default: people save them as a file)");
  add_numbers(*command, arguments);
  command->footer(
      "Examples:\n"
      "  pixart study make ours=images/a sdxl=images/b --prompts prompts.txt --out study\n"
      "  pixart study make a=a b=b c=c --prompts prompts.jsonl --design ranking --people 50 --seen 5 --out study\n"
      "  pixart study make a=a b=b --prompts prompts.txt --post http://lab:8080/collect/k3Zq81Lw --out study\n\n"
      "The folder opens from a disk, without network. Each person chooses a number, or opens index.html#p01.");
  command->callback([arguments] { make(*arguments); });
}

// --- score

struct StudyScoreArguments {
  std::vector<std::string> answers;
  std::string key, out;
  bool json = false;
  study::ScoreOptions options;
};

void print(const report::StudyScores& scores) {
  for (const auto& question : scores.questions) {
    print_line("{}: {} answers, {} cannot tell, agreement {}", question.question,
               with_thousands(question.answers), with_thousands(question.cannot_tell),
               question.agreement ? fmt::format("{:.3f}", *question.agreement) : "not known");
    for (const auto& model : question.models)
      print_line("  {:24} preferred {:5.1f} % ({:.1f} to {:.1f})  strength {:+.2f} ({:+.2f} to {:+.2f})",
                 model.name, 100 * model.preferred, 100 * model.preferred_interval.low,
                 100 * model.preferred_interval.high, model.strength, model.strength_interval.low,
                 model.strength_interval.high);
  }
  print_line("{} of {} people are used", scores.used, scores.people);
  for (const auto& one : scores.excluded)
    print_line("  {} is excluded: {}", one.person, join(one.reasons, "; "));
}

void score(const StudyScoreArguments& arguments) {
  std::vector<fs::path> files;
  for (const auto& file : arguments.answers) files.emplace_back(with_home(file));
  const fs::path out = with_home(arguments.out);
  if (!out.empty()) report::require_own_study(out);
  const auto scored = study::score_study(with_home(arguments.key), files, arguments.options);
  for (const auto& remark : scored.remarks) log::warning("{}", remark);
  if (arguments.json)
    print_json(report::study_json(scored.scores));
  else
    print(scored.scores);
  if (out.empty()) return;
  create_folders(out);
  write_file_atomically(out / "study.json", report::study_json(scored.scores));
  write_file_atomically(
      out / "study.html",
      report::study_page(scored.scores, fmt::format("Made by {} at {}.", producer(), utc_time_now())));
  log::info("wrote {} and study.html", (out / "study.json").string());
}

void add_scoring(CLI::App& app) {
  auto arguments = std::make_shared<StudyScoreArguments>();
  auto& options = arguments->options;
  auto* command =
      app.add_subcommand("score", "Preferences and strengths of the models, from people's answers.");
  command->add_option("ANSWERS", arguments->answers, "files of answers (.jsonl)")->required();
  command->add_option("--key", arguments->key, "the key that pixart study make wrote")->required();
  command->add_option("--out", arguments->out,
                      "folder for study.json and study.html; pixart report shows those below RUN/scores");
  command->add_flag("--json", arguments->json, "print study.json");
  command->add_option("--least-complete", options.least_complete, "least share of the screens (default: 0.8)")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--least-seconds", options.least_seconds,
                   "least time for half of the screens (default: 1)")
      ->check(CLI::Range(0.0, 3600.0));
  command
      ->add_option("--most-chance", options.most_chance,
                   "largest probability with which a guess notices as many destroyed images (default: 0.05)")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--most-contradictions", options.most_contradictions,
                   "largest share of repeated screens with the opposite answer (default: 0.7)")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--replicates", options.replicates, "of the bootstrap (default: 1000)")
      ->check(CLI::Range(100, 100'000));
  command->add_option("--seed", options.seed, "of the bootstrap (default: 0)");
  command->footer(
      "Examples:\n"
      "  pixart study score answers/*.jsonl --key study.key.json\n"
      "  pixart study score answers.jsonl --key study.key.json --out runs/mine/scores/study && pixart report runs/mine");
  command->callback([arguments] { score(*arguments); });
}

// --- serve, export

void add_serve(CLI::App& app) {
  auto options = std::make_shared<study::ServeOptions>();
  auto folder = std::make_shared<std::string>(), database = std::make_shared<std::string>();
  auto* command =
      app.add_subcommand("serve", "Give a study to people of a lab with links, and store their answers.");
  command->add_option("STUDY", *folder, "the folder of pixart study make")->required();
  command->add_option("--answers", *database, "file for answers and links (default: STUDY.answers.sqlite)");
  command->add_option("--host", options->host,
                      "address of this machine to serve at (default: 127.0.0.1; 0.0.0.0: all of them)");
  command->add_option("--port", options->port, "port (default: 8080; 0: a free one)")
      ->check(CLI::Range(0, 65535));
  command->add_option("--address", options->address,
                      "start of the links, as people reach it (default: http://HOST:PORT)");
  command->add_option("--collect", options->collect,
                      "also take answers of pages that were opened from a disk, at /collect/WORD");
  command->footer(
      "Examples:\n"
      "  pixart study serve study\n"
      "  pixart study serve study --host 0.0.0.0 --address http://lab.example:8080 --collect k3Zq81Lw\n"
      "  pixart study export study.answers.sqlite answers.jsonl\n\n"
      "It prints a secret link for each person. Answers are on the disk before the page hears of it, so the server may "
      "be\nkilled at any moment. It speaks HTTP without encryption and is made for a lab's own network.");
  command->callback([=] {
    const fs::path path = with_home(*folder);
    options->study = path.has_filename() ? path : path.parent_path();
    options->database =
        database->empty() ? options->study.string() + ".answers.sqlite" : with_home(*database);
    study::serve_study(*options);
  });
}

void add_export(CLI::App& app) {
  auto database = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  auto* command = app.add_subcommand("export", "Write the answers that serve stored as a file for score.");
  command->add_option("ANSWERS", *database, "file of pixart study serve")->required();
  command->add_option("OUT", *out, "file to write (.jsonl)")->required();
  command->footer("Examples:\n  pixart study export study.answers.sqlite answers.jsonl");
  command->callback([=] {
    const auto count = study::export_answers(with_home(*database), link_target(with_home(*out)));
    print_line("wrote {} answers to {}", with_thousands(count), *out);
  });
}

}  // namespace

void add_study(CLI::App& app) {
  auto* command = app.add_subcommand("study", "User studies: make, serve and score them.");
  command->require_subcommand(1);
  for (auto* add : {add_make, add_scoring, add_serve, add_export}) add(*command);
  command->footer(
      "Examples:\n  pixart study make ours=images/a sdxl=images/b --prompts prompts.txt --out study\n"
      "  pixart study serve study\n  pixart study score answers/*.jsonl --key study.key.json\n"
      "  pixart study COMMAND --help");
}

}  // namespace pixart::tools
