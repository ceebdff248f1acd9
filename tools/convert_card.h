// The model card of `pixart convert`.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/convert/model_card.h"

namespace pixart::tools {

struct CardRequest {
  std::vector<std::filesystem::path> scores, images;
  std::string base_model;
};

// What becomes of the weights of a source.
struct CardWeights {
  bool is_ema = false;  // the EMA of a checkpoint is taken
  bool is_changed =
      false;  // they become those of another model: scores and sample images of a run are not its own
};

void add_card_options(CLI::App& command, CardRequest& request);

// The facts of the options, and of the run folder if `source` is a checkpoint in one. Throws UserError for options
// without effect, because `target` is not a folder, and for files that a card cannot show.
convert::CardFacts card_facts(const CardRequest& request, const std::filesystem::path& source,
                              const std::filesystem::path& target, const CardWeights& weights);

}  // namespace pixart::tools
