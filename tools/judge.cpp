// pixart judge: a vision-language model answers questions about images.
#include "pixart/caption/judge.h"

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct JudgeArguments {
  caption::JudgeOptions options;
  std::string protocol = word_of(caption::JudgeProtocol::kPrompt);
  std::string key_env = "OPENAI_API_KEY";
  double temperature = -1;  // below 0: the protocol's
  std::vector<fs::path> agreement;
};

void compare(const JudgeArguments& arguments) {
  print_text(describe(caption::agreement(arguments.agreement.at(0), arguments.agreement.at(1))));
}

void run(const JudgeArguments& arguments) {
  if (!arguments.agreement.empty()) return compare(arguments);
  auto options = arguments.options;
  options.protocol = enum_of_word<caption::JudgeProtocol>(arguments.protocol, "--protocol");
  if (arguments.temperature >= 0) options.temperature = arguments.temperature;
  options.client.key = environment_variable(arguments.key_env.c_str()).value_or("");
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"})
    if (options.client.ca_file.empty()) options.client.ca_file = environment_variable(name).value_or("");
  const auto report = caption::judge(options);
  print_line("{}", describe(report));
  print_text(describe_values(report));
  print_line("tokens: {} read, {} written", with_thousands(report.prompt_tokens),
             with_thousands(report.completion_tokens));
  if (report.is_stopped && report.open > 0)
    throw UserError("stopped on request; finished answers are kept, and the same command continues.",
                    ExitCode::kRequeue);
}

void add_questions(CLI::App& command, JudgeArguments& arguments) {
  auto& options = arguments.options;
  command
      .add_option("--protocol", arguments.protocol,
                  "where the questions come from: " + join(words_of_enum<caption::JudgeProtocol>(), ", "))
      ->capture_default_str();
  command.add_option("--questions", options.questions,
                     "questions: JSONL or CSV with image, question and, if wanted, id, depends, category; "
                     "dpg: DPG-Bench's dpg_bench.csv");
  command.add_option("--parts", options.parts,
                     "images that a file shows in two columns, 1 or 4 (dpg: required, otherwise 1)");
  command.add_option(
      "--category", options.category,
      "compbench: the part of the benchmark, where the images are not in a folder of its name: "
      "color, shape, texture, spatial, 3d_spatial, non_spatial, complex or numeracy");
  command.add_option("--phrases", options.phrases,
                     "compbench: JSONL with prompt and chunks, its noun phrases (color, shape, texture)");
  command.add_option("--benchmark", options.benchmark,
                     "compbench: folder of the benchmark, whose own wording is used (default: pixart's)");
  command
      .add_option(
          "--instruction", options.instruction,
          "what is sent for a yes-or-no question; {question} is the question, with --protocol prompts "
          "also {prompt}")
      ->capture_default_str();
}

void add_answers(CLI::App& command, JudgeArguments& arguments) {
  auto& options = arguments.options;
  command
      .add_option(
          "--samples", options.samples,
          "answers to each question, for endpoints without probabilities of tokens; 0: one answer, by "
          "the probabilities of its first token")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command
      .add_option("--temperature", arguments.temperature,
                  "sampling temperature (default: 0; with --samples 1; compbench 0.2)")
      ->check(CLI::Range(0.0, 10.0));
  command
      .add_option("--max-tokens", options.max_tokens,
                  "longest answer (default: 8 for probabilities, 512 for texts)")
      ->check(CLI::Range(0, 1 << 20));
  command
      .add_option("--longest-side", options.longest_side,
                  "largest width and height of the image that is sent")
      ->check(CLI::Range(16, 16384))
      ->capture_default_str();
}

void add_endpoint(CLI::App& command, JudgeArguments& arguments) {
  auto& options = arguments.options;
  command.add_option("--endpoint", options.endpoint,
                     "address of the endpoint, e.g. http://localhost:8080/v1");
  command.add_option("--model", options.model, "name of the model at the endpoint");
  command.add_option("--in-flight", options.client.in_flight, "number of requests at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--retries", options.client.retries, "further attempts after a request failed")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--timeout", options.client.timeout_seconds, "seconds for one attempt")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  command
      .add_option("--first-pause", options.client.first_pause_seconds,
                  "seconds before the first retry; doubles for each further one, with jitter, up to a minute")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command
      .add_option("--key-env", arguments.key_env,
                  "environment variable with the key; local servers need none")
      ->capture_default_str();
  command.add_option("--ca-file", options.client.ca_file,
                     "PEM file of certificates to trust, for a private authority");
  command.add_flag("--insecure", options.insecure, "allow a key over http to another machine");
}

}  // namespace

void add_judge(CLI::App& app) {
  auto arguments = std::make_shared<JudgeArguments>();
  auto& options = arguments->options;
  auto* command = app.add_subcommand(
      "judge", "Ask a vision-language model (OpenAI-compatible endpoint) questions about images.");
  command->add_option("IMAGES", options.images, "folder of images, or another source");
  add_questions(*command, *arguments);
  add_endpoint(*command, *arguments);
  add_answers(*command, *arguments);
  command->add_option("--out", options.out,
                      "folder for answers.jsonl, summary.json, index.html and jobs.sqlite (default: "
                      "IMAGES-judged)");
  command->add_option("--limit", options.limit, "judge at most N files in this call; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--retry-rejected", options.retry_rejected, "ask again where an answer was faulty");
  command->add_option("--page-images", options.page_images, "largest number of images in index.html")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str();
  command
      ->add_option(
          "--agreement", arguments->agreement,
          "compare two judges, or a judge and people: folders, or JSONL or CSV with image, id, answer")
      ->expected(2);
  command->footer(
      "A question counts if its answer is yes and all questions that it depends on count. Refused, cut and\n"
      "unclear answers are unanswered: they are counted by their reason and never guessed. The values are this\n"
      "judge's: do not compare them with published ones. OUT/jobs.sqlite keeps each answer at once, so the same\n"
      "command continues after a kill. Guide: tools/guide/judge.md.\n\n"
      "Examples:\n"
      "  vllm serve Qwen/Qwen2.5-VL-7B-Instruct &\n"
      "  pixart judge images --endpoint http://localhost:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct\n"
      "  pixart judge geneval --protocol geneval --endpoint http://localhost:8000/v1 --model m\n"
      "  pixart judge dpg/images --protocol dpg --questions dpg_bench.csv --parts 4 \\\n"
      "    --endpoint http://localhost:8000/v1 --model m\n"
      "  pixart judge images --protocol questions --questions mine.jsonl --samples 5 \\\n"
      "    --endpoint https://api.openai.com/v1 --model gpt-4o-mini   # key in OPENAI_API_KEY\n"
      "  pixart judge --agreement images-judged people.jsonl");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
