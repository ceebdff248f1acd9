#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/features/extract.h"

namespace pixart::tools {

void add_extract(CLI::App& app) {
  struct Arguments {
    std::string file, what = "all";
    std::vector<std::string> overrides;
    features::ExtractOptions options;
    bool verify = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "extract", "Compute latents of images and text features of captions that a run's stages train on.");
  command->add_option("FILE", arguments->file, "run file (YAML)")->required();
  command
      ->add_option("--set", arguments->overrides, "override a key, e.g. --set features.path=/data/features")
      ->allow_extra_args(false);
  command->add_option("--stage", arguments->options.only_stage, "only the features that this stage needs");
  command->add_option("--what", arguments->what, "latents, captions or all")
      ->check(CLI::IsMember({"latents", "captions", "all"}))
      ->capture_default_str();
  auto* verify = command->add_flag(
      "--verify", arguments->verify,
      "only compare every byte of finished features with their manifests, and every image with the one that "
      "its latents were made from; list what differs");
  auto* mend =
      command
          ->add_flag(
              "--mend", arguments->options.sets.is_mended,
              "verify first and make damaged features again; adds checksums and keys to features of older versions")
          ->excludes(verify);
  command
      ->add_flag(
          "--update", arguments->options.sets.is_updated,
          "make the features of a source anew that has grown, shrunk or changed: those of unchanged images "
          "and captions are taken over; the former set stays as FOLDER.former")
      ->excludes(verify)
      ->excludes(mend);
  command->footer(
      "Examples:\n  pixart extract configs/demo/stamps.yaml\n"
      "  for gpu in 0 1 2 3; do CUDA_VISIBLE_DEVICES=$gpu pixart extract my.yaml & done; wait\n"
      "  pixart extract my.yaml --verify || pixart extract my.yaml --mend\n"
      "  pixart extract my.yaml --update   # a source has more images, or other captions\n"
      "Processes with the same run file share the work, shard by shard, also on several machines that share the\n"
      "folder. None waits for a slow one. If they are stopped or killed, the same command makes the missing\n"
      "shards. pixart train also makes missing features, and checks those that it reads; --verify reads all,\n"
      "about 1.5 GB per second on a fast disk.");
  command->callback([arguments] {
    const auto config = run::read_run_config(arguments->file, arguments->overrides);
    arguments->options.latents = arguments->what != "captions";
    arguments->options.captions = arguments->what != "latents";
    if (arguments->verify) return features::verify_features(config, arguments->options);
    features::extract(config, arguments->options);
  });
}

}  // namespace pixart::tools
