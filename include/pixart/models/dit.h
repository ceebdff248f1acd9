// DiT: the class-conditional diffusion transformer with adaLN-Zero (Peebles & Xie 2023, arXiv 2212.09748).
// Numbers must match facebookresearch/DiT models.py; weight names are those of its released files.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/nn/state_dict.h"

namespace pixart::models {

struct DitConfig {
  int64_t input_size = 32;  // latent side; the position table is made for it
  int64_t patch_size = 2;
  int64_t in_channels = 4;
  int64_t hidden_size = 1152;
  int64_t depth = 28;
  int64_t num_heads = 16;
  double mlp_ratio = 4.0;
  int64_t num_classes = 1000;  // the label table has one row more: the null class, last
  bool learn_sigma = true;     // output has 2 * in_channels channels
  int64_t out_channels() const { return learn_sigma ? 2 * in_channels : in_channels; }
};

// "DiT-S/2" ... "DiT-XL/8". Throws UserError listing the known names.
DitConfig dit_preset(const std::string& name);
std::vector<std::string> dit_preset_names();

// config.json of diffusers' DiTTransformer2DModel. Reading throws UserError with everything that is wrong or
// not supported. diffusers computes a slightly different function of the same weights (its timestep
// frequencies end at 10000^(-1)); ours is the published model's.
DitConfig read_dit_config(const std::filesystem::path& config_json);
void write_dit_config(const std::filesystem::path& config_json, const DitConfig& config);

// How a transformer is run; no part of the model. Attention, MLPs and embedders take `dtype`; the residual
// stream, norms, modulation and the tables of PixArt stay in float32, as under autocast in the released code.
struct Execution {
  std::optional<at::ScalarType> dtype = {};  // unset: the type of the weights
  // Every n-th block keeps its inputs alone and is computed again in backward; 0: none, 1: all. Losses and
  // gradients are the same to the bit.
  int64_t recompute_every = 0;
  bool recomputes(size_t block) const {
    return recompute_every > 0 && (int64_t(block) + 1) % recompute_every == 0;
  }
};

class Dit {
 public:
  Dit(const nn::Scope& scope, const DitConfig& config);

  // latent [B, C, H, W], timestep [B] float (may be fractional), label [B] int64 (num_classes = null class)
  // -> [B, O, H, W]. With `block_outputs`, each block's output [B, N, D] is appended to it.
  // An undefined `label` leaves the label embedding out, `positions` [1, N, D] replace the model's own (both
  // for the proof of the re-parameterisation).
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const at::Tensor& label,
                     std::vector<at::Tensor>* block_outputs = nullptr,
                     const at::Tensor& positions = {}) const;

  // Guided call of the released code: [2B] inputs, conditional first, null second; the latent's first half is
  // used for both; guidance on the first three channels only. Returns [2B, O, H, W].
  at::Tensor forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                   const at::Tensor& label, double scale) const;
  const DitConfig& config() const { return config_; }
  Dit with(const Execution& execution) const;  // the same weights, run in another way

 private:
  DitConfig config_;
  Execution execution_;
  std::shared_ptr<struct DitLayers> layers_;
};

// The published initialisation: xavier-uniform linears, N(0, .02) timestep MLP and label table, zero adaLN
// and output. Narrow models need a larger embedder_std than the published one.
struct TransformerInit {
  uint64_t seed = 0;
  // Of the timestep MLP and (PixArt) caption projection; unset: 0.02 as published; 0: 1/sqrt(fan_in).
  std::optional<double> embedder_std;
};
void initialize(nn::StateDict& state, const DitConfig& config, const TransformerInit& init);

}  // namespace pixart::models
