// pixart caption: writes dense captions with a vision-language model.
#include "pixart/caption/caption.h"

#include "commands.h"
#include "data_source.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct CaptionArguments {
  caption::CaptionOptions options;
  fs::path prompt_file;
  std::string key_env = "OPENAI_API_KEY", reasoning = word_of(caption::Reasoning::kRemove);
};

data::SourceConfig source_without_captions(const SourceArguments& where) {
  auto source = chosen_source(where);
  // This command is for images without a caption.
  source.missing_caption = data::MissingCaption::kEmpty;
  source.missing_caption_share = 1;
  // Captions from a file are results.
  std::erase_if(source.captions, [](const auto& kind) { return !kind.from.empty(); });
  return source;
}

void run(const SourceArguments& where, const CaptionArguments& arguments) {
  constexpr uint64_t kLargestPrompt = uint64_t{1} << 16;
  auto options = arguments.options;
  const auto source = source_without_captions(where);
  if (options.out.empty()) options.out = source.name + "-captions";
  if (!arguments.prompt_file.empty()) options.prompt = read_file(arguments.prompt_file, kLargestPrompt);
  options.client.key = environment_variable(arguments.key_env.c_str()).value_or("");
  options.reasoning = enum_of_word<caption::Reasoning>(arguments.reasoning, "--reasoning");
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"})
    if (options.client.ca_file.empty()) options.client.ca_file = environment_variable(name).value_or("");
  const auto report = caption::caption(source, *data::open_dataset(source, index_place(where)), options);
  print_line("{}", describe(report));
  print_line("tokens: {} read, {} written", with_thousands(report.prompt_tokens),
             with_thousands(report.completion_tokens));
  if (!report.cleaned.empty()) print_line("{}", describe_cleaned(report));
  if (report.rejected > 0)
    print_line("rejected images and the reasons: {}", (options.out / "rejected.jsonl").string());
  if (report.captioned > 0)
    print_line("in a run file: captions: [{{name: long, from: {}}}]",
               (options.out / "captions.jsonl").string());
  if (report.is_stopped && report.open > 0)
    throw UserError("stopped on request; finished captions are kept, and the same command continues.",
                    ExitCode::kRequeue);
}

}  // namespace

void add_caption(CLI::App& app) {
  auto where = std::make_shared<SourceArguments>();
  auto arguments = std::make_shared<CaptionArguments>();
  auto& options = arguments->options;
  auto* command = app.add_subcommand(
      "caption", "Write dense captions with a vision-language model (OpenAI-compatible endpoint).");
  add_source_options(*command, where);
  command
      ->add_option("--endpoint", options.endpoint, "address of the endpoint, e.g. http://localhost:8080/v1")
      ->required();
  command->add_option("--model", options.model, "name of the model at the endpoint")->required();
  command->add_option("--out", options.out,
                      "folder for captions.jsonl, rejected.jsonl and jobs.sqlite (default: SOURCE-captions)");
  auto* prompt = command->add_option(
      "--prompt", options.prompt,
      "the question; {caption} is replaced by the image's own caption (default: the paper's prompt)");
  command->add_option("--prompt-file", arguments->prompt_file, "the same, from a file")->excludes(prompt);
  command->add_flag("--with-caption", options.with_caption,
                    "use the paper's other prompt, which contains the image's own caption");
  command->add_option("--in-flight", options.client.in_flight, "number of requests at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--max-tokens", options.max_tokens, "longest answer; longer answers are rejected")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--temperature", options.temperature, "sampling temperature")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option(
          "--reasoning", arguments->reasoning,
          "remove: the caption is what follows a model's thoughts; reject: answers with thoughts are "
          "rejected")
      ->capture_default_str();
  command->add_flag("--accept-same", options.accept_same,
                    "accept one caption for all images; otherwise 8 equal first answers end the command");
  command->add_option("--ca-file", options.client.ca_file,
                      "PEM file of certificates to trust, for a private authority (default: CURL_CA_BUNDLE, "
                      "SSL_CERT_FILE, or the system's)");
  command->add_option("--limit", options.limit, "caption at most N images; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--retries", options.client.retries, "further attempts after a request failed")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--timeout", options.client.timeout_seconds, "seconds for one attempt")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--first-pause", options.client.first_pause_seconds,
                   "seconds before the first retry; doubles for each further one, with jitter, up to a "
                   "minute")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--key-env", arguments->key_env,
                   "environment variable with the key; local servers need none")
      ->capture_default_str();
  command->add_flag("--changed-source", options.changed_source,
                    "accept a source that has changed; captions of images that are still listed are kept");
  command->add_flag("--retry-rejected", options.retry_rejected,
                    "ask again for images whose answers were rejected");
  command->add_flag("--insecure", options.insecure, "allow a key over http to another machine");
  command->footer(
      "Writes OUT/captions.jsonl and OUT/rejected.jsonl in the source's order; OUT/jobs.sqlite keeps each\n"
      "answer at once. If the command is stopped or killed, or the endpoint fails, the same command continues.\n"
      "Empty answers, refusals and answers cut at --max-tokens are rejected with the reason. Thoughts, tokens\n"
      "of chat templates and words to the user are removed and counted. Images are sent as JPEG of at most\n"
      "400 x 800. The key is masked in all messages and files if it has 8 characters or more.\n\n"
      "Examples:\n"
      "  llama-server -m llava.gguf --mmproj mmproj.gguf --port 8080 -np 4 &\n"
      "  pixart caption images --endpoint http://localhost:8080/v1 --model llava --in-flight 4\n"
      "  vllm serve Qwen/Qwen2.5-VL-7B-Instruct &\n"
      "  pixart caption run.yaml --source sam --endpoint http://localhost:8000/v1 \\\n"
      "    --model Qwen/Qwen2.5-VL-7B-Instruct --in-flight 64\n"
      "  export OPENAI_API_KEY=...   # never an argument\n"
      "  pixart caption images --endpoint https://api.openai.com/v1 --model gpt-4o-mini --limit 100 "
      "--with-caption\n"
      "Then compare: pixart data stats images --set \"captions=[{name: caption}, {name: long, from: "
      "images-captions/captions.jsonl}]\"");
  command->callback([where, arguments] { run(*where, *arguments); });
}

}  // namespace pixart::tools
