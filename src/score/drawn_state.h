// What DrawnScores holds.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "clip_metrics.h"
#include "drawn_networks.h"
#include "drawn_reference.h"
#include "pixart/score/drawn_scores.h"

namespace pixart::score {

// Embeddings of the prompts, normalised; undefined where no score reads them.
struct PromptRows {
  at::Tensor open_ai = {}, hugging_face = {};  // [N, D]: with the cleaning of clip, of pickscore
  std::string sha256 = {};                     // of the prompts
  std::vector<std::string> notes = {};
};

struct DrawnScores::State {
  DrawnScoresConfig config;
  DrawnNetworks networks;
  std::optional<AestheticHead> head = {};
  std::string head_sha256 = {};
  ReferenceFeatures reference = {};
  PromptRows prompts = {};
};

}  // namespace pixart::score
