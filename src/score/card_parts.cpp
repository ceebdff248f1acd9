#include "card_parts.h"

#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <cmath>

#include "card.h"
#include "pixart/base/enum_words.h"
#include "pixart/base/error.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::score {
using nlohmann::ordered_json;

std::string stored_text(const StatisticsFile& file, const char* name) {
  const auto json = formats::parse_ordered_or_discard(file.protocol);
  const bool is_there = json.is_object() && json.contains(name) && json[name].is_string();
  return is_there ? json[name].get<std::string>() : "";
}

ordered_json protocol_of_images(int64_t count) {
  return {{"pixels", "8 bit RGB as decoded"}, {"dtype", "float32, distances float64"}, {"num_images", count}};
}

ordered_json protocol_of_inception(const std::string& tensors_sha256, ResizeRule rule) {
  return {{"network", "Inception v3 of 2015-12-05"},
          {kWeightsHash, tensors_sha256},
          {kResize, word_of(rule)},
          {"side", kInceptionSide}};
}

ordered_json protocol_of_reference(bool is_statistics, const std::string& sha256, int64_t count) {
  return {{"kind", is_statistics ? "statistics" : "images"}, {"sha256", sha256}, {"num_images", count}};
}

ordered_json protocol_of_clip(const std::string& tensors_sha256, const models::ClipConfig& config) {
  return {{kWeightsHash, tensors_sha256},
          {"side", config.image_size},
          {"patch", config.patch_size},
          {"embedding", config.embedding}};
}

std::string name_of(const std::filesystem::path& path) {
  const auto normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

void require_finite(const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values)
    if (!std::isfinite(value)) names.push_back(name);
  if (!names.empty())
    throw UserError(
        fmt::format("{} {} not finite: the weights of a network or of a head are damaged, or others.",
                    join(names, ", "), names.size() == 1 ? "is" : "are"),
        ExitCode::kNumerics);
}

std::string card_text(const CardContent& content) {
  require_finite(content.values);
  ordered_json card = {
      {"kind", kCardKind}, {"scores", ordered_json::object()}, {"protocol", content.protocol}};
  for (const auto& [name, value] : content.values) card["scores"][name] = value;
  card["images"] = {{"name", content.images_name}, {"sha256", content.images_sha256}};
  card["reference_name"] = name_of(content.reference);
  if (content.inception != nullptr)
    card["weights"] = {{"name", name_of(content.weights)},
                       {"sha256", content.inception->file_sha256},
                       {"published", content.inception->is_published}};
  card["machine"] = {{"software", producer()},
                     {"libtorch", TORCH_VERSION},
                     {"device", at::DeviceTypeName(content.device.type(), /*lower_case=*/true)},
                     {"threads", at::get_num_threads()}};
  card["notes"] = content.notes;
  return card.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace pixart::score
