// DiT: the class-conditional diffusion transformer with adaLN-Zero (Peebles & Xie 2023, arXiv 2212.09748).
// Numbers must match facebookresearch/DiT models.py; weight names are those of its released files.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/models/transformer_shape.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

struct DitConfig : TransformerShape, LabelSizes {};

// "DiT-S/2" ... "DiT-XL/8". Throws UserError listing the known names.
DitConfig dit_preset(const std::string& name);
std::vector<std::string> dit_preset_names();

// config.json of diffusers' DiTTransformer2DModel. Reading throws UserError with everything that is wrong or
// not supported. diffusers computes a slightly different function of the same weights (its timestep
// frequencies end at 10000^(-1)); ours is the published model's.
DitConfig read_dit_config(const std::filesystem::path& config_json);
void write_dit_config(const std::filesystem::path& config_json, const DitConfig& config);

class Dit {
 public:
  Dit(const nn::Scope& scope, const DitConfig& config);

  // latent [B, C, H, W], timestep [B] float (may be fractional), the condition's label and drop -> [B, O, H,
  // W]. With `block_outputs`, each block's output [B, N, D] is appended to it. An undefined label leaves the
  // label embedding out, `positions` [1, N, D] replace the model's own (both for the proof of the
  // re-parameterisation).
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& condition,
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

void initialize(nn::StateDict& state, const DitConfig& config, const TransformerInit& init);

}  // namespace pixart::models
