// DiT: the class-conditional diffusion transformer with adaLN-Zero (Peebles & Xie 2023, arXiv 2212.09748).
// Results must match facebookresearch/DiT models.py; weight names are those of its released files.
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

// config.json of diffusers' DiTTransformer2DModel. Reading throws UserError that lists every wrong or
// unsupported value. diffusers computes a slightly different function of the same weights (its timestep
// frequencies end at 10000^(-1)); this class computes the published model's.
DitConfig read_dit_config(const std::filesystem::path& config_json);
void write_dit_config(const std::filesystem::path& config_json, const DitConfig& config);

class Dit {
 public:
  Dit(const nn::Scope& scope, const DitConfig& config);

  // latent [B, C, H, W], timestep [B] float (may be fractional), the condition's label and drop -> [B, O, H,
  // W]. With `block_outputs`, appends each block's output [B, N, D] to it. For the proof of the
  // re-parameterisation: an undefined label leaves out the label embedding, `positions` [1, N, D] replace the
  // model's own.
  at::Tensor forward(const at::Tensor& latent, const at::Tensor& timestep, const Condition& condition,
                     std::vector<at::Tensor>* block_outputs = nullptr,
                     const at::Tensor& positions = {}) const;

  // Guidance as in the released code: [2B] inputs, conditional first, null second. Uses the first half of the
  // latent for both halves and guides only the first three channels. Returns [2B, O, H, W].
  at::Tensor forward_with_guidance(const at::Tensor& latent, const at::Tensor& timestep,
                                   const at::Tensor& label, double scale) const;
  const DitConfig& config() const { return config_; }
  const Execution& execution() const { return execution_; }
  Dit with(const Execution& execution) const;  // a model with the same weights and this execution

 private:
  DitConfig config_;
  Execution execution_;
  std::shared_ptr<struct DitLayers> layers_;
};

void initialize(nn::StateDict& state, const DitConfig& config, const TransformerInit& init);

}  // namespace pixart::models
