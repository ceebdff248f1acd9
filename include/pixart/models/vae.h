// AutoencoderKL (the Stable Diffusion autoencoder). Numbers must match diffusers' AutoencoderKL; names are
// its own.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/nn/state_dict.h"

namespace pixart::models {

struct VaeConfig {
  int64_t in_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {128, 256, 512, 512};
  int64_t layers_per_block = 2;
  int64_t norm_num_groups = 32;
  double scaling_factor = 0.18215;
  // Per channel; empty: 0 and 1. latent = (sample - mean) * scaling_factor / std
  std::vector<double> latents_mean, latents_std;
  int64_t downscale() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

VaeConfig vae_preset(const std::string& name);  // "sd-vae", "sdxl-vae"
std::vector<std::string> vae_preset_names();
// diffusers' config.json. Throws UserError with everything that is wrong or not supported.
VaeConfig read_vae_config(const std::filesystem::path& config_json);
void write_vae_config(const std::filesystem::path& config_json, const VaeConfig& config);

struct Moments {
  at::Tensor mean;     // [B, L, H/f, W/f]
  at::Tensor log_var;  // clamped to [-30, 20]
};

class AutoencoderKl {
 public:
  AutoencoderKl(const nn::Scope& scope, const VaeConfig& config);
  Moments encode(const at::Tensor& image) const;      // image [B, 3, H, W] in [-1, 1]
  at::Tensor decode(const at::Tensor& latent) const;  // unscaled latent -> [B, 3, H, W]
  const VaeConfig& config() const { return config_; }

 private:
  VaeConfig config_;
  std::shared_ptr<struct VaeLayers> layers_;
};

// Residual branches start as the identity: conv weights N(0, 1/fan_in), biases 0, last conv of every residual
// block and the attention output zero.
void initialize(nn::StateDict& state, const VaeConfig& config, uint64_t seed);

struct LoadedVae {
  std::unique_ptr<nn::StateDict> state;
  std::unique_ptr<AutoencoderKl> vae;
};
// A diffusers folder (old attention names accepted), with float32 weights unless `dtype` says otherwise.
LoadedVae load_vae(const std::filesystem::path& folder, at::Device device, at::ScalarType dtype = at::kFloat);
void save_vae(const std::filesystem::path& folder, const VaeConfig& config, const nn::StateDict& state);

// Older names -> today's: LDM's ("encoder.down.0.block.0...", under a prefix such as "first_stage_model.")
// and old diffusers'. Names that do not belong to the autoencoder (a discriminator, other models) are left
// out.
std::map<std::string, std::string> todays_vae_names(const std::vector<std::string>& names,
                                                    const VaeConfig& config);
// LDM's attention is made of 1x1 convolutions, today's of linear layers.
bool is_vae_attention_convolution(const std::string& todays_name, at::IntArrayRef shape);

// Both applied to tensors.
std::map<std::string, at::Tensor> rename_vae_weights(const std::map<std::string, at::Tensor>& tensors,
                                                     const VaeConfig& config);

}  // namespace pixart::models
