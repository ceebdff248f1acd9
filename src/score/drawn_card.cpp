// The card of the scores of drawn images.
#include <nlohmann/json.hpp>

#include "card_parts.h"
#include "drawn_state.h"
#include "images.h"
#include "metrics.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::score {
using nlohmann::ordered_json;

namespace {

ordered_json settings_of(const DrawnScoresConfig& config) {
  const KidOptions kid;
  ordered_json settings = ordered_json::object();
  if (config.wants(Metric::kKid))
    settings["kid"] = {{"subsets", kid.subsets}, {"subset_size", kid.subset_size}, {"seed", kid.seed}};
  if (config.wants(Metric::kPrecisionRecall))
    settings["precision_recall"] = {{"neighbours", kDrawnNeighbours}};
  return settings;
}

ordered_json clip_of(const DrawnScoresConfig& config, const DrawnNetworks& networks,
                     const PromptRows& prompts, const std::string& head_sha256) {
  ordered_json clip = protocol_of_clip(networks.clip_sha256, networks.clip->model->config());
  if (config.wants(Metric::kCmmd)) clip["cmmd_pixels"] = kCmmdPixels;
  if (config.reads_crops()) clip["pixels"] = kCropPixels;
  if (config.reads_prompts()) clip["prompts_sha256"] = prompts.sha256;
  if (config.wants(Metric::kAesthetic)) clip["aesthetic_head_sha256"] = head_sha256;
  return clip;
}

}  // namespace

std::string DrawnScores::card(const DrawnValues& values, const DrawnSet& set) const {
  const auto& [config, networks, head, head_sha256, reference, prompts] = *state_;
  ordered_json protocol = protocol_of_images(int64_t(set.hashes.size()));
  if (networks.inception)
    protocol.update(protocol_of_inception(networks.inception->tensors_sha256, config.resize));
  if (config.compares())
    protocol["reference"] = protocol_of_reference(reference.is_statistics, reference.sha256, reference.count);
  if (!set.sampling.empty()) protocol["sampling"] = formats::parse_ordered(set.sampling);
  protocol["settings"] = settings_of(config);
  if (networks.clip) protocol["clip"] = clip_of(config, networks, prompts, head_sha256);
  return card_text({.values = values.values,
                    .notes = values.notes,
                    .protocol = std::move(protocol),
                    .images_name = set.name,
                    .images_sha256 = hash_of_set(set.hashes),
                    .reference = config.reference,
                    .weights = config.weights,
                    .inception = networks.inception ? &*networks.inception : nullptr,
                    .device = networks.device});
}

}  // namespace pixart::score
