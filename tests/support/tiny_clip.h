// A CLIP model with weights by a formula, and the tokenizer of the golden cases, in Hugging Face's layout.
#pragma once
#include <ATen/ATen.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "formula_inception.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/models/clip.h"

namespace pixart::testing {

inline constexpr int64_t kTinyEmbedding = 20;

// Another seed: other weights.
inline std::string seeded(const std::string& name, uint64_t seed) {
  return seed == 0 ? name : name + std::to_string(seed);
}

inline void write_tiny_clip(const std::filesystem::path& folder, const std::filesystem::path& source_dir,
                            uint64_t seed = 0) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << R"({"model_type": "clip", "projection_dim": 20,
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 56,
                      "image_size": 24, "patch_size": 8, "hidden_act": "quick_gelu"},
    "text_config": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
                    "vocab_size": 914, "max_position_embeddings": 12, "eos_token_id": 2, "hidden_act": "quick_gelu"}})";
  nn::StateDict state;
  const models::ClipModel model(nn::Scope(state), models::read_clip_config(folder / "config.json"));
  std::vector<formats::NamedTensor> tensors;
  for (const auto& item : state.items()) {
    const at::Tensor values = 0.2 * formula_values(seeded(item.name, seed), item.tensor.sizes());
    const bool is_norm = item.name.find("norm") != std::string::npos && item.name.ends_with("weight");
    tensors.push_back({item.name, (is_norm ? 1 + values : values).to(at::kFloat)});
  }
  formats::save_safetensors(folder / "model.safetensors", tensors);
  const auto vocabulary = source_dir / "tests/golden/clip_tokenizer/tiny/vocabulary";
  for (const char* name : {"vocab.json", "merges.txt"})
    std::filesystem::copy_file(vocabulary / name, folder / name,
                               std::filesystem::copy_options::overwrite_existing);
}

// A head in LAION's form: one linear layer.
inline void write_tiny_head(const std::filesystem::path& file, uint64_t seed = 0) {
  formats::save_safetensors(
      file, {{"weight", formula_values(seeded("head", seed), {1, kTinyEmbedding}).to(at::kFloat)},
             {"bias", at::full({1}, 5.0)}});
}

}  // namespace pixart::testing
