// Writes adapters for diffusers and PEFT.
#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "lora_config.h"
#include "lora_names.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/convert/model_card.h"
#include "pixart/convert/model_folder.h"
#include "pixart/convert/provenance.h"
#include "pixart/convert/stated_process.h"
#include "pixart/convert/tensor_map.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/nn/lora.h"
#include "provenance_keys.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kWeightEnd = ".weight";

// The adapters by diffusers' names of the layers.
std::map<std::string, LoraLayer> in_diffusers_names(const LoraAdapters& adapters, const TensorMap& map) {
  std::map<std::string, LoraLayer> result;
  std::set<std::string> placed;
  for (const auto& line : map.lines) {
    const Piece& piece = line.pieces.front();
    if (!line.target.ends_with(kWeightEnd) || !piece.source.ends_with(kWeightEnd)) continue;
    const auto found = adapters.layers.find(piece.source.substr(0, piece.source.size() - kWeightEnd.size()));
    if (found == adapters.layers.end()) continue;
    placed.insert(found->first);
    LoraLayer layer = found->second;
    const int64_t rows = layer.b.size(0) / piece.count;
    layer.b = layer.b.narrow(0, piece.index * rows, rows);
    result.emplace(line.target.substr(0, line.target.size() - kWeightEnd.size()), std::move(layer));
  }
  PIXART_CHECK(placed.size() == adapters.layers.size(), "{} of {} adapters exist in diffusers' layout",
               placed.size(), adapters.layers.size());
  return result;
}

// Keys of PEFT's LoraConfig. diffusers needs both patterns, even if they are empty.
ordered_json peft_config(const std::map<std::string, LoraLayer>& layers, int64_t rank, double alpha) {
  std::vector<std::string> names;
  for (const auto& [name, layer] : layers) names.push_back(name);
  ordered_json config = {{"r", rank},
                         {"target_modules", names},
                         {"lora_dropout", 0.0},
                         {"bias", "none"},
                         {"rank_pattern", ordered_json::object()},
                         {"alpha_pattern", ordered_json::object()}};
  if (alpha == std::floor(alpha))
    config["lora_alpha"] = int64_t(alpha);
  else
    config["lora_alpha"] = alpha;
  return config;
}

// With the configuration in the place where diffusers looks for it, as it does not read PEFT's file: under the prefix of
// the tensors, which is the `prefix` of its load_lora_adapter().
void save(const fs::path& file, const std::map<std::string, LoraLayer>& layers, const std::string& prefix,
          const ordered_json& config, formats::Metadata metadata) {
  ordered_json prefixed;
  for (const auto& [key, value] : config.items()) prefixed[prefix + key] = value;
  metadata[kLoraMetadataKey] = prefixed.dump(2);
  std::vector<formats::NamedTensor> tensors;
  for (const auto& [name, layer] : layers) {
    tensors.push_back({prefix + name + nn::kLoraA, layer.a});
    tensors.push_back({prefix + name + nn::kLoraB, layer.b});
  }
  formats::save_safetensors(file, tensors, metadata);
}

}  // namespace

void write_lora(const fs::path& folder, const formats::Weights& weights, const Architecture& architecture,
                const CardFacts& card) {
  formats::Weights rest = weights;
  const std::string subject = weights.files.empty() ? "the weights" : weights.files[0].string();
  const auto adapters = take_lora(rest, subject);
  PIXART_CHECK(!adapters.layers.empty(), "no adapters to write");
  const auto* pixart = std::get_if<models::PixArtConfig>(&architecture);
  const auto layers = in_diffusers_names(
      adapters, pixart != nullptr ? pixart_to_diffusers(*pixart)
                                  : dit_to_diffusers(std::get<models::DitConfig>(architecture)));
  const auto& first = adapters.layers.begin()->second;
  const int64_t rank = first.a.size(0);
  const double alpha = first.scale * double(rank);
  auto metadata = provenance_metadata({.architecture = architecture,
                                       .conversion = "LoRA adapters of a checkpoint",
                                       .license = adapters.license,
                                       .parents = weights.files,
                                       .process = process_text(adapters.process)});
  metadata.merge(lora_metadata(rank, alpha));
  ordered_json config = peft_config(layers, rank, alpha);

  require_model_folder(folder);
  StagedFolder staged(folder, foreign_entries);
  write_model_card(staged.path(),
                   {.subject = CardSubject::kAdapters,
                    .summary = fmt::format("rank {}, alpha {}", rank, alpha),
                    .draws_captions = pixart != nullptr,
                    .metadata = metadata,
                    .of_source = weights.metadata},
                   card);
  save(staged.path() / "adapter_model.safetensors", layers, kPeftPrefix, config, metadata);
  save(staged.path() / "pytorch_lora_weights.safetensors", layers, kDiffusersPrefix, config, metadata);
  config["peft_type"] = "LORA";
  config["task_type"] = nullptr;
  config["inference_mode"] = true;
  config["base_model_name_or_path"] = nullptr;
  write_file_atomically(staged.path() / kPeftConfigName, config.dump(2) + "\n");
  staged.commit();
}

}  // namespace pixart::convert
