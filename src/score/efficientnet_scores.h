// The metrics of a request that EfficientNet-Lite0's features give, and what they depend on. None of them is an FID.
#pragma once
#include <c10/core/Device.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "efficientnet_lite.h"
#include "images.h"
#include "pixart/base/error.h"
#include "pixart/score/score.h"

namespace pixart::score {

bool uses_efficientnet(Metric metric);

// Opens the network if a metric of the request needs it, and adds what is wrong with its file.
std::optional<OpenedEfficientnet> open_efficientnet(const ScoreRequest& request, c10::Device device,
                                                    Problems& problems);

struct EfficientnetScores {
  std::vector<std::pair<std::string, double>> values = {};
  std::vector<std::string> notes = {};
  nlohmann::ordered_json protocol = {};  // null: the request has no such metric
  std::string images_sha256 = {}, reference_sha256 = {};
};
// Frechet distance (float64), and the kernel distance with its deviation over subsets; the second is also computed
// where the first is biased by few images.
EfficientnetScores efficientnet_scores(const ImageList& images, const std::optional<ImageList>& reference,
                                       const std::optional<OpenedEfficientnet>& opened,
                                       const ScoreRequest& request);

}  // namespace pixart::score
