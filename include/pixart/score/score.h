// Scores of a set of images: FID, sFID, inception score, precision and recall, KID, those of CLIP's embeddings,
// ImageReward, and distances of EfficientNet-Lite0's features, each with the protocol that it depends on.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::score {

enum class Metric {
  kFid,
  kSfid,
  kInceptionScore,
  kPrecisionRecall,
  kKid,
  kCmmd,
  kClip,
  kAesthetic,
  kPickscore,
  kHpsv2,
  kImageReward,
  kFdEfficientnetLite0,
  kKdEfficientnetLite0
};
inline EnumWords<Metric> enum_words(Metric) {
  return {{"fid", Metric::kFid},
          {"sfid", Metric::kSfid},
          {"inception-score", Metric::kInceptionScore},
          {"precision-recall", Metric::kPrecisionRecall},
          {"kid", Metric::kKid},
          {"cmmd", Metric::kCmmd},
          {"clip", Metric::kClip},
          {"aesthetic", Metric::kAesthetic},
          {"pickscore", Metric::kPickscore},
          {"hpsv2", Metric::kHpsv2},
          {"image-reward", Metric::kImageReward},
          {"fd-efficientnet-lite0", Metric::kFdEfficientnetLite0},
          {"kd-efficientnet-lite0", Metric::kKdEfficientnetLite0}};
}

// How images are resized to 299 x 299 pixels: as clean-fid, as pytorch-fid, as TensorFlow 1 (ADM,
// torch-fidelity).
enum class ResizeRule { kClean, kPytorch, kTensorflow };
inline EnumWords<ResizeRule> enum_words(ResizeRule) {
  return {{"clean", ResizeRule::kClean},
          {"pytorch", ResizeRule::kPytorch},
          {"tensorflow", ResizeRule::kTensorflow}};
}

struct ScoreRequest {
  std::vector<Metric> metrics = {};
  // A folder of images, another source (shards, MNIST-style files, tables), or an .npz file with images
  // (arr_0). The reference may also be statistics: an .npz file with mu and sigma.
  std::filesystem::path images = {}, reference = {};
  std::filesystem::path weights = {};  // pt_inception-2015-12-05-6726825d.pth, or the same as .safetensors
  ResizeRule resize = ResizeRule::kClean;
  // Of cmmd, clip, aesthetic, pickscore, hpsv2: the folder of a CLIP model in the layout of Hugging Face or
  // open_clip. The tokenizer is in it, or in the folder tokenizer next to it, unless its folder is given.
  std::filesystem::path clip = {}, clip_tokenizer = {};
  std::filesystem::path aesthetic_head = {};  // LAION's, for CLIP ViT-L/14
  // Of clip, pickscore, hpsv2 and image-reward: a text file with a line for each image, in the order of the
  // images' names; "": the captions of the images, or the prompts that pixart sample wrote into them.
  std::filesystem::path prompts = {};
  // Of image-reward: ImageReward.pt, and the folder with vocab.txt or tokenizer.json of bert-base-uncased;
  // "": it is in the folder of the weights.
  std::filesystem::path image_reward = {}, image_reward_tokenizer = {};
  // Of fd-efficientnet-lite0 and kd-efficientnet-lite0: efficientnet-lite0-57934424.pth, or the same as
  // .safetensors.
  std::filesystem::path efficientnet_weights = {};
  int64_t num_images = 0;  // of `images` the first ones; 0: all
  int64_t batch_size = 32;
  int64_t kid_subsets = 100, kid_subset_size = 1000;  // smaller sets: subsets of their size
  int64_t neighbours = 3;                             // k of precision and recall
  int64_t splits = 10;                                // of the inception score
  uint64_t seed = 0;                                  // of KID's subsets and of the splits
  std::string device = "auto";
  std::filesystem::path save_statistics = {};  // .npz file for the statistics of `images`; "": none
};

struct ScoreResult {
  std::vector<std::pair<std::string, double>> values = {};  // by name, in order
  std::vector<std::string> notes = {};                      // sentences about what limits the values
  std::string card = {};  // JSON: the values and what they depend on; see tools/guide/scores.md
};

// Throws one UserError that lists every problem of the request, before any image is scored; one that lists all
// images that cannot be read; and for statistics that were computed in another way than this request says. Throws
// UserError(kStorage) before any image is read if save_statistics cannot be made, and UserError(kNumerics) if a
// value is not finite.
ScoreResult score(const ScoreRequest& request);

// The same name with two values in two cards, or a value that only one card has.
struct ScoreDifference {
  std::string name = {};
  std::string first = {}, second = {};  // "-": it has none
};

struct CardComparison {
  std::vector<ScoreDifference> values = {};    // all metrics of both cards
  std::vector<ScoreDifference> protocol = {};  // what must agree, and does not
  std::vector<ScoreDifference> machine = {};   // versions and devices that differ
};

// Compares two cards (JSON). Throws UserError about the `name` of one that is not a card.
CardComparison compare_cards(const std::string& first, const std::string& first_name,
                             const std::string& second, const std::string& second_name);

// Where a card is written: `out` itself if it ends in .json, otherwise score.json in the folder `out`. Throws
// UserError if a file with this name is there that is not a card, or if none can be made there.
std::filesystem::path card_path(const std::filesystem::path& out);

}  // namespace pixart::score
