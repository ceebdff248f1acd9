#include <memory>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/train/extract.h"

namespace pixart::tools {

void add_extract(CLI::App& app) {
  struct Arguments {
    std::string file, what = "all";
    std::vector<std::string> overrides;
    train::ExtractOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "extract", "Compute latents of pictures and text features of captions that a run's stages train on.");
  command->add_option("FILE", arguments->file, "run file (YAML)")->required();
  command
      ->add_option("--set", arguments->overrides, "override a key, e.g. --set features.path=/data/features")
      ->allow_extra_args(false);
  command->add_option("--stage", arguments->options.only_stage, "only what this stage needs");
  command->add_option("--what", arguments->what, "latents, captions or all")
      ->check(CLI::IsMember({"latents", "captions", "all"}))
      ->capture_default_str();
  command->footer(
      "Examples:\n  pixart extract configs/demo/stamps.yaml\n"
      "  for gpu in 0 1 2 3; do CUDA_VISIBLE_DEVICES=$gpu pixart extract my.yaml & done; wait\n"
      "Processes that are given the same run file share the work, shard by shard. Stopped or killed, the "
      "same command\n"
      "goes on with the shards that are missing. train makes what is missing itself.");
  command->preparse_callback([](size_t) { catch_stop_signals(); });
  command->callback([arguments] {
    const auto config = train::read_run_config(arguments->file, arguments->overrides);
    arguments->options.latents = arguments->what != "captions";
    arguments->options.captions = arguments->what != "latents";
    train::extract(config, arguments->options);
  });
}

}  // namespace pixart::tools
