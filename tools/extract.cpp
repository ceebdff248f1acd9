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
    bool verify = false;
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
  auto* verify = command->add_flag(
      "--verify", arguments->verify,
      "only compare every byte of finished features with their manifests, and name what is damaged");
  command
      ->add_flag(
          "--mend", arguments->options.is_mended,
          "the same first, and make again what is damaged; adds checksums to features of older versions")
      ->excludes(verify);
  command->footer(
      "Examples:\n  pixart extract configs/demo/stamps.yaml\n"
      "  for gpu in 0 1 2 3; do CUDA_VISIBLE_DEVICES=$gpu pixart extract my.yaml & done; wait\n"
      "  pixart extract my.yaml --verify || pixart extract my.yaml --mend\n"
      "Processes that are given the same run file share the work, shard by shard. Stopped or killed, the "
      "same command\n"
      "goes on with the shards that are missing. train makes what is missing itself, and checks what it "
      "reads;\n"
      "--verify reads everything, about 1.5 GB a second on a fast disk.");
  command->preparse_callback([](size_t) { catch_stop_signals(); });
  command->callback([arguments] {
    const auto config = train::read_run_config(arguments->file, arguments->overrides);
    arguments->options.latents = arguments->what != "captions";
    arguments->options.captions = arguments->what != "latents";
    if (arguments->verify) return train::verify_features(config, arguments->options);
    train::extract(config, arguments->options);
  });
}

}  // namespace pixart::tools
