// The metrics of a request that CLIP's embeddings give, and what they depend on.
#pragma once
#include <c10/core/Device.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clip_metrics.h"
#include "images.h"
#include "pixart/base/error.h"
#include "pixart/models/clip.h"
#include "pixart/score/score.h"
#include "pixart/text/clip_tokenizer.h"

namespace pixart::score {

bool wants(const ScoreRequest& request, Metric metric);
bool uses_clip(Metric metric);
bool needs_prompts(Metric metric);  // of those of CLIP

// One for each image: of request.prompts, or the captions of the images. Adds what is missing.
std::vector<std::string> prompts_of(const ImageList& images, const ScoreRequest& request, Problems& problems);
std::string hash_of_prompts(const std::vector<std::string>& prompts);

// What the metrics of CLIP's embeddings need besides images; parts that no metric needs are not there.
struct ClipInputs {
  std::optional<models::ClipConfig> config = {};  // of the model, whose weights are not read yet
  std::optional<text::ClipTokenizer> tokenizer = {};
  std::vector<std::string> prompts = {};  // one for each image
  std::optional<AestheticHead> head = {};
};

// Opens all that the request's metrics of this kind need, before any image is read, and adds what is missing or
// does not fit. `images`: those that need prompts; none if they could not be opened.
ClipInputs open_clip(const std::optional<ImageList>& images, const ScoreRequest& request, Problems& problems);

// The folder of the tokenizer that goes with request.clip.
std::filesystem::path tokenizer_folder(const ScoreRequest& request);

struct ClipScores {
  std::vector<std::pair<std::string, double>> values = {};
  std::vector<std::string> notes = {};
  nlohmann::ordered_json protocol = {};  // null: the request has no such metric
  std::string images_sha256 = {}, reference_sha256 = {};
};
ClipScores clip_scores(const ImageList& images, const std::optional<ImageList>& reference,
                       const ClipInputs& inputs, const ScoreRequest& request, c10::Device device);

}  // namespace pixart::score
