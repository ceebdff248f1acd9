#include <fstream>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/data/transform.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/train/pipeline.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct Arguments {
  train::PipelineRequest request;
  std::vector<std::string> prompts;
  std::string prompt_file;
  fs::path out = "samples";
  train::GenerateOptions options;
  int64_t count = 1, columns = 8, step = -1;
  bool live_weights = false;
};

std::vector<std::string> prompts_of_file(const std::string& path) {
  const std::string text = read_file(path, 16 << 20);
  Problems problems;
  std::vector<std::string> prompts;
  int64_t number = 0;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find('\0') != std::string::npos)
      problems.add(fmt::format("line {} holds a NUL byte; the file must be text, one prompt a line", number));
    else if (line.size() > 10000)
      problems.add(fmt::format("line {} has {} bytes; a prompt has at most 10000", number, line.size()));
    else if (!line.empty())
      prompts.push_back(line);
  }
  problems.throw_if_any(path);
  if (prompts.empty()) throw UserError(path + " holds no prompt; write one a line.");
  return prompts;
}

void check(Arguments& arguments) {
  const auto known = diffusion::sampler_names();
  if (std::find(known.begin(), known.end(), arguments.options.sampler) == known.end()) {
    throw UserError(fmt::format("unknown sampler '{}'; known: {}.{}", arguments.options.sampler,
                                join(known, ", "), did_you_mean(arguments.options.sampler, known)));
  }
  if (!arguments.prompt_file.empty()) {
    for (auto& prompt : prompts_of_file(arguments.prompt_file))
      arguments.prompts.push_back(std::move(prompt));
  }
  if (arguments.prompts.empty())
    throw UserError("nothing to draw: give prompts, or --prompts FILE with one a line.");
}

void run(Arguments& arguments) {
  check(arguments);
  if (arguments.step >= 0) arguments.request.step = arguments.step;
  arguments.request.average = !arguments.live_weights;
  const auto pipeline = train::Pipeline::open(arguments.request);
  std::vector<std::string> captions;
  for (const auto& prompt : arguments.prompts)
    for (int64_t i = 0; i < arguments.count; ++i) captions.push_back(prompt);
  const auto images = pipeline.generate(captions, arguments.options);
  create_folders(arguments.out);
  for (size_t i = 0; i < images.size(); ++i) {
    formats::save_png(arguments.out / fmt::format("{:04d}.png", i), images[i],
                      {{"prompt", captions[i]},
                       {"seed", std::to_string(arguments.options.seed)},
                       {"index", std::to_string(i)},
                       {"run", arguments.request.run.string()},
                       {"stage", pipeline.stage().name},
                       {"step", std::to_string(pipeline.step())},
                       {"sampler", arguments.options.sampler},
                       {"num_steps", std::to_string(arguments.options.num_steps)},
                       {"guidance", fmt::format("{}", arguments.options.guidance)},
                       {"software", producer()}});
  }
  const int scale = std::max(1, 128 / std::max(1, images.front().width));
  formats::save_png(arguments.out / "grid.png",
                    data::make_captioned_grid(images, captions, int(arguments.columns), scale));
  log::info("{} pictures of stage {}, step {}, and grid.png in {}", images.size(), pipeline.stage().name,
            pipeline.step(), arguments.out.string());
}

}  // namespace

void add_sample(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("sample", "Draw pictures with a trained stage of a run.");
  command->add_option("RUN", arguments->request.run, "run folder")->required();
  command->add_option("PROMPT", arguments->prompts, "captions (text stage) or class names (class stage)");
  command->add_option("--prompts", arguments->prompt_file, "file with one prompt a line");
  command->add_option("--out", arguments->out, "folder for 0000.png, ... and grid.png")
      ->capture_default_str();
  command->add_option("--stage", arguments->request.stage,
                      "stage (default: the last text stage with a checkpoint)");
  command->add_option("--step", arguments->step, "checkpoint of this step (default: the newest)");
  command
      ->add_option("--sampler", arguments->options.sampler,
                   "one of " + join(diffusion::sampler_names(), ", "))
      ->capture_default_str();
  command->add_option("--steps", arguments->options.num_steps, "sampling steps")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--guidance", arguments->options.guidance, "classifier-free guidance; 1 turns it off")
      ->check(CLI::Range(1.0, 100.0))
      ->capture_default_str();
  command->add_option("--seed", arguments->options.seed, "seed of the noise")->capture_default_str();
  command->add_option("--count", arguments->count, "pictures per prompt")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_option("--batch", arguments->options.batch_size, "pictures at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--columns", arguments->columns, "pictures per row of the grid")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--device", arguments->request.device, "auto, cpu, cuda, cuda:<i>")
      ->capture_default_str();
  command->add_flag("--live-weights", arguments->live_weights,
                    "the trained weights instead of their average (EMA)");
  command->footer(
      "Examples:\n  pixart sample runs/demo \"a red circle on a white background\" --count 4\n"
      "  pixart sample runs/demo --prompts prompts.txt --guidance 3 --out pictures\n"
      "  pixart sample runs/fashion --stage class Sneaker Bag");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
