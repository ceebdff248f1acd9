// T5 v1.1 encoder (gated GELU, RMS norm, relative position buckets). Results must match transformers'
// T5EncoderModel; the folder layout is Hugging Face's.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

// What a run file chooses for an encoder with random weights.
struct T5Size {
  int64_t d_model = 4096;
  int64_t num_layers = 24;
  int64_t num_heads = 64;
  int64_t d_ff = 10240;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("d_model", s.d_model, "Width of the random encoder.", in_range(1, kWidestLayer));
    v("num_layers", s.num_layers, "Layers of the random encoder.", in_range(1, kMostLayers));
    v("num_heads", s.num_heads, "Heads of the random encoder.", in_range(1, 4096));
    v("d_ff", s.d_ff, "Feed-forward width of the random encoder.", in_range(1, 1 << 20));
  }
};

struct T5Config : T5Size {
  int64_t vocab_size = 32128;
  int64_t d_kv = 64;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  std::string dtype = "float32";  // of the stored weights: "float32", "bfloat16", "float16"
};

// "t5-v1_1-small", "-base", "-large", "-xl", "-xxl".
T5Config t5_preset(const std::string& name);
std::vector<std::string> t5_preset_names();
// Hugging Face's config.json. Throws UserError that lists every wrong or unsupported value.
T5Config read_t5_config(const std::filesystem::path& config_json);
void write_t5_config(const std::filesystem::path& config_json, const T5Config& config);

class T5Encoder {
 public:
  T5Encoder(const nn::Scope& scope, const T5Config& config);
  // ids [B, T] int64, mask [B, T] -> [B, T, d_model]. Appends embeddings and block outputs to `hidden`.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& mask,
                     std::vector<at::Tensor>* hidden = nullptr) const;
  // Makes what depends on the length of texts only, for up to this length, so that forward() computes nothing on the
  // host of a GPU.
  void prepare(int64_t length) const;
  const T5Config& config() const { return config_; }

 private:
  T5Config config_;
  std::shared_ptr<struct T5Layers> layers_;
};

// The buckets of (key - query) = -(T-1) ... T-1: [2T-1] int64.
at::Tensor relative_buckets(int64_t length, const T5Config& config);

// Random weights of the usual scale. relative_attention_bias has standard deviation `bias_std`; an untrained
// encoder needs about 3 to distinguish word orders (see README "The demo").
void initialize(nn::StateDict& state, const T5Config& config, uint64_t seed, double bias_std);

// Loads a folder with config.json and weights (safetensors or PyTorch, also sharded); ignores the decoder of
// a whole T5. dtype: the type of the parameters; unset: the type in config.json. Throws UserError. Memory
// holds the weights only once.
struct LoadedT5 {
  std::unique_ptr<nn::StateDict> state;
  std::unique_ptr<T5Encoder> encoder;
};
LoadedT5 load_t5(const std::filesystem::path& folder, at::Device device,
                 std::optional<at::ScalarType> dtype = {});
// Writes config.json and model.safetensors.
void save_t5(const std::filesystem::path& folder, const T5Encoder& encoder, const nn::StateDict& state);

}  // namespace pixart::models
