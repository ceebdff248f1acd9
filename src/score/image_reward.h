// ImageReward (Xu et al. 2023): BLIP's encoders and a head that is one linear map.
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
#include "pixart/formats/weights.h"
#include "pixart/models/blip.h"
#include "pixart/score/score.h"
#include "pixart/text/bert_tokenizer.h"

namespace pixart::score {

// What the metric needs besides images; parts that could not be opened are not there.
struct ImageRewardInputs {
  std::optional<formats::Weights> encoders = {};  // under BLIP's own names; not read yet
  std::optional<AestheticHead> head = {};
  std::optional<text::BertTokenizer> tokenizer = {};
  std::vector<std::string> prompts = {};  // one for each image
};

// Opens all of it if the request has the metric, and adds what is missing or does not fit. `prompts`: those
// of other metrics of the request, if they read them.
ImageRewardInputs open_image_reward(const std::optional<ImageList>& images, const ScoreRequest& request,
                                    const std::vector<std::string>& prompts, Problems& problems);

struct ImageRewardScores {
  std::vector<std::pair<std::string, double>> values = {};
  std::vector<std::string> notes = {};
  nlohmann::ordered_json protocol = {};  // null: the request has no such metric
  std::string images_sha256 = {}, reference_sha256 = {};
};
ImageRewardScores image_reward_scores(const ImageList& images, const ImageRewardInputs& inputs,
                                      const ScoreRequest& request, c10::Device device);

}  // namespace pixart::score
