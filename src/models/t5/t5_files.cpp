// Reads and writes T5 encoders in Hugging Face's folder layout.
#include <ATen/ATen.h>

#include "../json_config.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "pixart/models/t5.h"
#include "pixart/nn/dtype.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kWidestLayer = int64_t{1} << 20;  // channels inside a layer
constexpr const char* kEmbedding = "shared.weight";
constexpr const char* kTiedEmbedding = "encoder.embed_tokens.weight";

// Refuses models with the same tensors but another computation (T5 1.0, mT5, UMT5, other activations).
void check_kind(JsonConfig& json) {
  json.only("model_type", "t5", /*absent_is_fine=*/false);
  json.only("feed_forward_proj", "gated-gelu", /*absent_is_fine=*/false);
  json.only("dense_act_fn", "gelu_new");
  json.only("is_gated_act", true);
}

void check_buckets(JsonConfig& json, const T5Config& c) {
  const int64_t buckets = c.relative_attention_num_buckets;
  if (buckets < 4 || buckets % 2 != 0) {
    json.problems().add(
        fmt::format("relative_attention_num_buckets is {}; only even numbers >= 4 are supported.", buckets));
  } else if (c.relative_attention_max_distance <= buckets / 4) {
    json.problems().add(fmt::format(
        "relative_attention_max_distance is {}; it must be larger than {}, a quarter of the buckets.",
        c.relative_attention_max_distance, buckets / 4));
  }
}

// Some files have the embedding twice, others only under the name of the tied copy.
void drop_tied_copy(std::map<std::string, at::Tensor>& tensors, const fs::path& folder) {
  const auto copy = tensors.find(kTiedEmbedding);
  if (copy == tensors.end()) return;
  const auto [original, was_absent] = tensors.emplace(kEmbedding, copy->second);
  const at::Tensor &a = original->second, &b = copy->second;
  const bool has_values = !a.is_meta();
  if (!was_absent && (a.scalar_type() != b.scalar_type() || (has_values && !at::equal(a, b)))) {
    throw UserError(fmt::format(
        "{}: {} and {} differ; a T5 v1.1 encoder has one embedding. Is this another kind of model?",
        folder.string(), kEmbedding, kTiedEmbedding));
  }
  tensors.erase(copy);
}

// A whole T5 also has the decoder and its output layer.
nn::LoadAllowance t5_allowance() {
  return {.may_be_missing = {}, .may_be_unexpected = {"decoder.*", "lm_head.weight"}};
}

// Compares names and shapes before any memory is used.
void check_fits(const T5Config& config, const formats::Weights& weights, const fs::path& folder) {
  nn::StateDict state({.device = at::kMeta});
  const T5Encoder encoder(nn::Scope(state), config);
  auto tensors = formats::read_all(formats::shapes_only(weights));
  if (const auto copy = tensors.find(kTiedEmbedding); copy != tensors.end()) {
    tensors.emplace(kEmbedding, copy->second);
    tensors.erase(kTiedEmbedding);
  }
  nn::check_state(state, tensors, folder.string(), t5_allowance());
}

}  // namespace

T5Config read_t5_config(const fs::path& config_json) {
  JsonConfig json(config_json);
  check_kind(json);
  T5Config c;
  c.vocab_size = json.count("vocab_size", {}, kMostRows);
  c.d_model = json.count("d_model");
  c.d_kv = json.count("d_kv");
  c.d_ff = json.count("d_ff", {}, kWidestLayer);
  c.num_layers = json.count("num_layers", {}, kMostBlocks);
  c.num_heads = json.count("num_heads");
  c.relative_attention_num_buckets =
      json.count("relative_attention_num_buckets", c.relative_attention_num_buckets);
  c.relative_attention_max_distance =
      json.count("relative_attention_max_distance", c.relative_attention_max_distance);
  check_buckets(json, c);
  if (c.num_heads * c.d_kv > kWidestLayer)
    json.problems().add(fmt::format("{} heads of {} channels: the attention has at most {} channels.",
                                    c.num_heads, c.d_kv, kWidestLayer));
  c.layer_norm_epsilon = json.positive("layer_norm_epsilon", c.layer_norm_epsilon);
  const char* key = json.has("dtype") ? "dtype" : "torch_dtype";  // the current name and the older one
  c.dtype = json.text(key, c.dtype);
  if (!nn::dtype_called(c.dtype))
    json.problems().add(
        fmt::format("{} is \"{}\"; supported: {}.", key, c.dtype, join(nn::dtype_names(), ", ")));
  json.finish();
  return c;
}

void write_t5_config(const fs::path& config_json, const T5Config& c) {
  const nlohmann::ordered_json json = {{"architectures", {"T5EncoderModel"}},
                                       {"model_type", "t5"},
                                       {"vocab_size", c.vocab_size},
                                       {"d_model", c.d_model},
                                       {"d_kv", c.d_kv},
                                       {"d_ff", c.d_ff},
                                       {"num_layers", c.num_layers},
                                       {"num_heads", c.num_heads},
                                       {"relative_attention_num_buckets", c.relative_attention_num_buckets},
                                       {"relative_attention_max_distance", c.relative_attention_max_distance},
                                       {"layer_norm_epsilon", c.layer_norm_epsilon},
                                       {"feed_forward_proj", "gated-gelu"},
                                       {"dense_act_fn", "gelu_new"},
                                       {"is_gated_act", true},
                                       {"is_encoder_decoder", false},
                                       {"tie_word_embeddings", false},
                                       {"use_cache", false},
                                       {"pad_token_id", 0},
                                       {"eos_token_id", 1},
                                       {"torch_dtype", c.dtype}};
  write_json(config_json, json);
}

LoadedT5 load_t5(const fs::path& folder, at::Device device, std::optional<at::ScalarType> dtype) {
  T5Config config = read_t5_config(folder / "config.json");
  if (dtype) config.dtype = nn::dtype_name(*dtype);
  const auto type = nn::dtype_called(config.dtype);
  if (!type)
    throw UserError(fmt::format("{}: T5 weights cannot be loaded as '{}'; possible: {}.", folder.string(),
                                config.dtype, join(nn::dtype_names(), ", ")));
  formats::Weights weights = formats::open_weights(folder);
  if (device.is_meta()) weights = formats::shapes_only(std::move(weights));
  check_fits(config, weights, folder);
  LoadedT5 loaded;
  loaded.state =
      std::make_unique<nn::StateDict>(nn::StateDictOptions{.dtype = *type, .device = device, .zeros = false});
  loaded.encoder = std::make_unique<T5Encoder>(nn::Scope(*loaded.state), config);
  auto tensors = formats::read_all(weights);
  drop_tied_copy(tensors, folder);
  nn::adopt_state(*loaded.state, std::move(tensors), folder.string(), t5_allowance());
  return loaded;
}

void save_t5(const fs::path& folder, const T5Encoder& encoder, const nn::StateDict& state) {
  T5Config config = encoder.config();
  config.dtype = nn::dtype_name(state.options().dtype);
  std::vector<formats::NamedTensor> tensors;
  for (const auto& item : state.items()) tensors.push_back({item.name, item.tensor});
  create_folders(folder);
  formats::save_safetensors(folder / "model.safetensors", tensors);
  write_t5_config(folder / "config.json", config);
}

}  // namespace pixart::models
