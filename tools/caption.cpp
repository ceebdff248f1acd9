// pixart caption: dense captions from a vision-language model.
#include "pixart/caption/caption.h"

#include <cstdio>

#include "commands.h"
#include "data_source.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct CaptionArguments {
  caption::CaptionOptions options;
  std::string prompt_file, key_env = "OPENAI_API_KEY", out;
};

void run(const SourceArguments& where, const CaptionArguments& arguments) {
  auto sources = chosen_sources(where);
  if (sources.size() != 1) throw UserError("caption takes one source; choose it with --source.");
  auto& source = sources.front();
  // Pictures without a caption are what this is for.
  if (source.missing_caption == "error") source.missing_caption = "empty";
  source.missing_caption_share = 1;
  caption::CaptionOptions options = arguments.options;
  options.out = arguments.out.empty() ? source.name + "-captions" : arguments.out;
  if (!arguments.prompt_file.empty()) {
    if (!options.prompt.empty()) throw UserError("--prompt and --prompt-file exclude each other.");
    options.prompt = read_file(arguments.prompt_file, 1 << 20);
  }
  options.client.key = environment_variable(arguments.key_env.c_str()).value_or("");
  const auto dataset = data::open_dataset(source);
  catch_stop_signals();
  const auto report = caption::caption(source, *dataset, options);
  const fs::path captions = options.out / "captions.jsonl";
  std::printf("%s of %s pictures captioned, %s rejected, %s open; %s tokens written\n",
              with_thousands(report.captioned).c_str(), with_thousands(report.listed).c_str(),
              with_thousands(report.rejected).c_str(), with_thousands(report.open).c_str(),
              with_thousands(report.completion_tokens).c_str());
  if (report.rejected > 0)
    std::printf("what was rejected, and why: %s\n", (options.out / "rejected.jsonl").c_str());
  std::printf("in a run file: captions: [{name: long, from: %s}]\n", captions.c_str());
  if (stop_requested())
    throw UserError("stopped on request; what was captioned is kept. The same command continues.",
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
      ->add_option("--endpoint", options.endpoint, "address of the interface, e.g. http://localhost:8080/v1")
      ->required();
  command->add_option("--model", options.model, "model's name at the endpoint")->required();
  command->add_option("--out", arguments->out,
                      "folder for captions.jsonl, rejected.jsonl and jobs.sqlite; else SOURCE-captions");
  command->add_option("--prompt", options.prompt,
                      "what to ask; {caption} stands for the picture's own caption; else the paper's prompt");
  command->add_option("--prompt-file", arguments->prompt_file, "the same, from a file");
  command->add_flag("--with-caption", options.with_caption,
                    "the paper's prompt for pictures that have a caption");
  command->add_option("--in-flight", options.client.in_flight, "requests at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--max-tokens", options.max_tokens, "longest answer; longer ones are rejected")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--temperature", options.temperature, "sampling temperature")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--limit", options.limit, "ask for so many pictures only; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--retries", options.client.retries, "further attempts of a request")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--timeout", options.client.timeout_seconds, "seconds for one attempt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--first-pause", options.client.first_pause_seconds,
                   "seconds before the first retry; doubles, with jitter")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--key-env", arguments->key_env,
                   "environment variable with the key; unset is fine for local servers")
      ->capture_default_str();
  command->add_flag("--retry-rejected", options.retry_rejected, "ask again for what was rejected");
  command->add_flag("--insecure", options.insecure, "allow a key over http to another machine");
  command->footer(
      "Examples:\n"
      "  llama-server -m llava.gguf --mmproj mmproj.gguf --port 8080 &\n"
      "  pixart caption data/sam --endpoint http://localhost:8080/v1 --model llava\n"
      "  vllm serve Qwen/Qwen2.5-VL-7B-Instruct &\n"
      "  pixart caption run.yaml --source sam --endpoint http://localhost:8000/v1 --model "
      "Qwen/Qwen2.5-VL-7B-Instruct --in-flight 64\n"
      "  OPENAI_API_KEY=... pixart caption pictures --endpoint https://api.openai.com/v1 --model gpt-4o-mini "
      "--limit 100\n"
      "Stopped or killed, the same command continues. Then: pixart data stats RUN.yaml compares old and new "
      "captions.");
  command->callback([where, arguments] { run(*where, *arguments); });
}

}  // namespace pixart::tools
