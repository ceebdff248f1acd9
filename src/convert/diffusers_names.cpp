// The names of diffusers' transformers and the official ones, as in diffusers' scripts
// convert_pixart_alpha_to_diffusers.py and convert_dit_to_diffusers.py. Nothing is transposed; joined
// projections are divided into their parts.
#include "pixart/base/error.h"
#include "pixart/convert/tensor_map.h"

namespace pixart::convert {

namespace {

struct Pair {
  std::string official;
  std::vector<std::string> diffusers;  // one name, or the parts of a joined layer
};
using Pairs = std::vector<Pair>;

void add_linear(Pairs& pairs, const std::string& official, const std::vector<std::string>& diffusers) {
  for (const char* leaf : {".weight", ".bias"}) {
    Pair pair{official + leaf, {}};
    for (const auto& name : diffusers) pair.diffusers.push_back(name + leaf);
    pairs.push_back(std::move(pair));
  }
}

void add_timestep_embedder(Pairs& pairs, const std::string& official, const std::string& diffusers) {
  add_linear(pairs, official + ".mlp.0", {diffusers + ".linear_1"});
  add_linear(pairs, official + ".mlp.2", {diffusers + ".linear_2"});
}

// The common names in blocks of DiT and PixArt.
void add_block(Pairs& pairs, const std::string& official, const std::string& diffusers) {
  add_linear(pairs, official + ".attn.qkv",
             {diffusers + ".attn1.to_q", diffusers + ".attn1.to_k", diffusers + ".attn1.to_v"});
  add_linear(pairs, official + ".attn.proj", {diffusers + ".attn1.to_out.0"});
  add_linear(pairs, official + ".mlp.fc1", {diffusers + ".ff.net.0.proj"});
  add_linear(pairs, official + ".mlp.fc2", {diffusers + ".ff.net.2"});
}

std::string official_block(int64_t i) { return fmt::format("blocks.{}", i); }
std::string diffusers_block(int64_t i) { return fmt::format("transformer_blocks.{}", i); }

void add_pixart_block(Pairs& pairs, const std::string& official, const std::string& diffusers) {
  pairs.push_back({official + ".scale_shift_table", {diffusers + ".scale_shift_table"}});
  add_block(pairs, official, diffusers);
  add_linear(pairs, official + ".cross_attn.q_linear", {diffusers + ".attn2.to_q"});
  add_linear(pairs, official + ".cross_attn.kv_linear",
             {diffusers + ".attn2.to_k", diffusers + ".attn2.to_v"});
  add_linear(pairs, official + ".cross_attn.proj", {diffusers + ".attn2.to_out.0"});
}

// As PixArtControlNetAdapterModel of diffusers' research_projects/pixart has them.
Pairs control_pairs(const models::PixArtConfig& config) {
  Pairs pairs;
  for (int64_t i = 0; i < config.control_blocks; ++i) {
    const std::string official = fmt::format("{}{}", models::kControlPrefix, i),
                      diffusers = fmt::format("controlnet_blocks.{}", i);
    if (i == 0) add_linear(pairs, official + ".before_proj", {diffusers + ".before_proj"});
    add_pixart_block(pairs, official + ".copied_block", diffusers + ".transformer_block");
    add_linear(pairs, official + ".after_proj", {diffusers + ".after_proj"});
  }
  return pairs;
}

Pairs pixart_pairs(const models::PixArtConfig& config) {
  Pairs pairs;
  const std::string embedders = "adaln_single.emb.";
  add_linear(pairs, "x_embedder.proj", {"pos_embed.proj"});
  add_linear(pairs, "y_embedder.y_proj.fc1", {"caption_projection.linear_1"});
  add_linear(pairs, "y_embedder.y_proj.fc2", {"caption_projection.linear_2"});
  add_timestep_embedder(pairs, "t_embedder", embedders + "timestep_embedder");
  if (config.micro_conditions) {
    add_timestep_embedder(pairs, "csize_embedder", embedders + "resolution_embedder");
    add_timestep_embedder(pairs, "ar_embedder", embedders + "aspect_ratio_embedder");
  }
  add_linear(pairs, "t_block.1", {"adaln_single.linear"});
  for (int64_t i = 0; i < config.depth; ++i) add_pixart_block(pairs, official_block(i), diffusers_block(i));
  pairs.push_back({"final_layer.scale_shift_table", {"scale_shift_table"}});
  add_linear(pairs, "final_layer.linear", {"proj_out"});
  return pairs;
}

// Without the embedders, which diffusers stores once per block.
Pairs dit_pairs(const models::DitConfig& config) {
  Pairs pairs;
  add_linear(pairs, "x_embedder.proj", {"pos_embed.proj"});
  for (int64_t i = 0; i < config.depth; ++i) {
    add_block(pairs, official_block(i), diffusers_block(i));
    add_linear(pairs, official_block(i) + ".adaLN_modulation.1", {diffusers_block(i) + ".norm1.linear"});
  }
  add_linear(pairs, "final_layer.adaLN_modulation.1", {"proj_out_1"});
  add_linear(pairs, "final_layer.linear", {"proj_out_2"});
  return pairs;
}

Pairs dit_embedders(int64_t block) {
  Pairs pairs;
  const std::string embedders = diffusers_block(block) + ".norm1.emb";
  add_timestep_embedder(pairs, "t_embedder", embedders + ".timestep_embedder");
  pairs.push_back(
      {"y_embedder.embedding_table.weight", {embedders + ".class_embedder.embedding_table.weight"}});
  return pairs;
}

void add_to_diffusers(TensorMap& map, const Pairs& pairs) {
  for (const auto& [official, parts] : pairs)
    for (size_t i = 0; i < parts.size(); ++i)
      map.lines.push_back({parts[i], {{official, int64_t(i), int64_t(parts.size())}}});
}

void add_from_diffusers(TensorMap& map, const Pairs& pairs) {
  for (const auto& [official, parts] : pairs) {
    MapLine line{official, {}};
    for (const auto& part : parts) line.pieces.push_back({part});
    map.lines.push_back(std::move(line));
  }
}

}  // namespace

TensorMap pixart_to_diffusers(const models::PixArtConfig& config) {
  TensorMap map{{}, {"pos_embed", "y_embedder.y_embedding"}};
  add_to_diffusers(map, pixart_pairs(config));
  return map;
}

TensorMap control_to_diffusers(const models::PixArtConfig& config) {
  TensorMap map{{}, {"pos_embed", "y_embedder.y_embedding"}};
  for (const auto& pair : pixart_pairs(config)) map.dropped.push_back(pair.official);
  add_to_diffusers(map, control_pairs(config));
  return map;
}

TensorMap pixart_from_diffusers(const models::PixArtConfig& config) {
  TensorMap map;
  add_from_diffusers(map, pixart_pairs(config));
  return map;
}

TensorMap dit_to_diffusers(const models::DitConfig& config) {
  TensorMap map{{}, {"pos_embed"}};
  add_to_diffusers(map, dit_pairs(config));
  for (int64_t i = 0; i < config.depth; ++i) add_to_diffusers(map, dit_embedders(i));
  return map;
}

TensorMap dit_from_diffusers(const models::DitConfig& config) {
  TensorMap map;
  add_from_diffusers(map, dit_pairs(config));
  Pairs first = dit_embedders(0);
  const size_t begin = map.lines.size();
  add_from_diffusers(map, first);
  for (int64_t block = 1; block < config.depth; ++block) {
    const Pairs copies = dit_embedders(block);
    for (size_t i = 0; i < copies.size(); ++i)
      map.lines[begin + i].copies.push_back(copies[i].diffusers.front());
  }
  return map;
}

TensorMap vae_to_diffusers(const formats::Weights& source, const models::VaeConfig& config) {
  std::vector<std::string> names;
  for (const auto& [name, info] : source.tensors) names.push_back(name);
  const auto todays = models::todays_vae_names(names, config);
  TensorMap map;
  for (const auto& [name, info] : source.tensors) {
    const auto found = todays.find(name);
    if (found == todays.end()) {
      map.dropped.push_back(name);
      continue;
    }
    map.lines.push_back({.target = found->second,
                         .pieces = {{name}},
                         .as_matrix = models::is_vae_attention_convolution(found->second, info.shape)});
  }
  return map;
}

}  // namespace pixart::convert
