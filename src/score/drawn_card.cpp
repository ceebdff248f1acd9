// The card of the scores of drawn images: the same parts and names as score.cpp writes, so that cards compare.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <nlohmann/json.hpp>

#include "card.h"
#include "drawn_state.h"
#include "images.h"
#include "metrics.h"
#include "pixart/base/version.h"

namespace pixart::score {
using nlohmann::ordered_json;

namespace {

std::string name_of(const std::filesystem::path& path) {  // says nothing of the machine
  const auto normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

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
  const auto& model = networks.clip->model->config();
  ordered_json clip = {{"weights_sha256", networks.clip_sha256},
                       {"side", model.image_size},
                       {"patch", model.patch_size},
                       {"embedding", model.embedding}};
  if (config.wants(Metric::kCmmd)) clip["cmmd_pixels"] = "centre square, bicubic";
  if (config.reads_crops()) clip["pixels"] = "bicubic short side, centre crop";
  if (config.reads_prompts()) clip["prompts_sha256"] = prompts.sha256;
  if (config.wants(Metric::kAesthetic)) clip["aesthetic_head_sha256"] = head_sha256;
  return clip;
}

}  // namespace

std::string DrawnScores::card(const DrawnValues& values, const DrawnSet& set) const {
  const auto& [config, networks, head, head_sha256, reference, prompts] = *state_;
  ordered_json protocol = {{"pixels", "8 bit RGB as decoded"},
                           {"dtype", "float32, distances float64"},
                           {"num_images", set.hashes.size()}};
  if (networks.inception)
    protocol.update({{"network", "Inception v3 of 2015-12-05"},
                     {"weights_sha256", networks.inception->tensors_sha256},
                     {"resize", word_of(config.resize)},
                     {"side", kInceptionSide}});
  if (config.compares())
    protocol["reference"] = {{"kind", reference.is_statistics ? "statistics" : "images"},
                             {"sha256", reference.sha256},
                             {"num_images", reference.count}};
  if (!set.sampling.empty()) protocol["sampling"] = ordered_json::parse(set.sampling);
  protocol["settings"] = settings_of(config);
  if (networks.clip) protocol["clip"] = clip_of(config, networks, prompts, head_sha256);
  ordered_json card = {{"kind", kCardKind}, {"scores", ordered_json::object()}, {"protocol", protocol}};
  for (const auto& [name, value] : values.values) card["scores"][name] = value;
  card["images"] = {{"name", set.name}, {"sha256", hash_of_set(set.hashes)}};
  card["reference_name"] = name_of(config.reference);
  if (networks.inception)
    card["weights"] = {{"name", name_of(config.weights)},
                       {"sha256", networks.inception->file_sha256},
                       {"published", networks.inception->is_published}};
  card["machine"] = {{"software", producer()},
                     {"libtorch", TORCH_VERSION},
                     {"device", at::DeviceTypeName(networks.device.type(), /*lower_case=*/true)},
                     {"threads", at::get_num_threads()}};
  card["notes"] = values.notes;
  return card.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace pixart::score
