// The metrics of a request that CLIP's embeddings give, and what they depend on.
#pragma once
#include <c10/core/Device.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "images.h"
#include "pixart/base/error.h"
#include "pixart/score/score.h"

namespace pixart::score {

bool wants(const ScoreRequest& request, Metric metric);
bool uses_clip(Metric metric);
bool needs_prompts(Metric metric);

// What a request lacks for its metrics of this kind. `reference`: without images unless they are given.
void check_clip(const std::optional<ImageList>& images, const std::optional<ImageList>& reference,
                const ScoreRequest& request, Problems& problems);

struct ClipScores {
  std::vector<std::pair<std::string, double>> values = {};
  std::vector<std::string> notes = {};
  nlohmann::ordered_json protocol = {};  // null: the request has no such metric
  std::string images_sha256 = {}, reference_sha256 = {};
};
ClipScores clip_scores(const ImageList& images, const std::optional<ImageList>& reference,
                       const ScoreRequest& request, c10::Device device);

}  // namespace pixart::score
