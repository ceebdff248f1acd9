#include "convert_card.h"

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"
#include "pixart/run/run_config.h"
#include "pixart/train/run_card.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

bool is_file_target(const fs::path& target) {
  const auto extension = target.extension();
  return extension == ".safetensors" || extension == ".pth" || extension == ".pt";
}

// A run folder that cannot be read costs only a part of the card.
convert::CardFacts facts_of_run(const fs::path& source, const CardWeights& weights) {
  auto place = train::checkpoint_place(source);
  if (!place) return {};
  place->is_ema = place->is_ema || weights.is_ema;
  try {
    convert::CardFacts facts = train::card_of(*place, run::read_run_config(place->run / "run.yaml"));
    if (weights.is_changed) facts.scores.clear(), facts.samples.clear();
    return facts;
  } catch (const UserError& error) {
    log::warning("the model card says nothing of the training: {}", error.what());
    return {};
  }
}

// The prompt that pixart sample wrote into the image; "": none.
std::string prompt_in(const fs::path& image) {
  if (ascii_lower(image.extension().string()) != ".png") return "";
  const auto texts = formats::read_png_text(image);
  const auto prompt = texts.find("prompt");
  return prompt == texts.end() ? "" : prompt->second;
}

}  // namespace

void add_card_options(CLI::App& command, CardRequest& request) {
  const auto group = "Model card (README.md of a folder)";
  command.add_option("--score", request.scores, "cards of pixart score to show with their protocols")
      ->check(CLI::ExistingFile)
      ->group(group);
  command
      .add_option("--card-image", request.images,
                  "sample images to show, at most 8 (default: the newest ones of the stage)")
      ->check(CLI::ExistingFile)
      ->group(group);
  command
      .add_option("--base-model", request.base_model,
                  "the model on the Hub that this one comes from, owner/name")
      ->group(group);
}

convert::CardFacts card_facts(const CardRequest& request, const fs::path& source, const fs::path& target,
                              const CardWeights& weights) {
  const bool has_options = !request.scores.empty() || !request.images.empty() || !request.base_model.empty();
  if (is_file_target(target)) {
    if (has_options)
      throw UserError(fmt::format(
          "--score, --card-image and --base-model are for the model card of a folder; {} is a file.",
          target.string()));
    return {};
  }
  if (!request.base_model.empty()) convert::check_hub_name(request.base_model);
  if (request.images.size() > convert::kMostCardSamples)
    throw UserError(fmt::format("--card-image: {} images; a model card has at most {}.",
                                request.images.size(), convert::kMostCardSamples));
  for (const auto& file : request.images) convert::check_card_sample(file);
  convert::CardFacts facts = facts_of_run(source, weights);
  facts.base_model = request.base_model;
  for (const auto& file : request.scores) facts.scores.push_back(train::card_score(file));
  if (!request.images.empty()) facts.samples.clear();
  for (const auto& file : request.images) facts.samples.push_back({.file = file, .text = prompt_in(file)});
  return facts;
}

}  // namespace pixart::tools
