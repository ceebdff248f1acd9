// AutoencoderKL (the Stable Diffusion autoencoder), and AutoencoderTiny (TAESD and its relatives) in place of one.
// Results and weight names are those of diffusers.
#pragma once
#include <ATen/core/Tensor.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/formats/weights.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

// What a run file chooses.
struct VaeSize {
  std::vector<int64_t> block_out_channels = {128, 256, 512, 512};
  int64_t layers_per_block = 2;
  int64_t norm_num_groups = 32;
  int64_t latent_channels = 4;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("block_out_channels", s.block_out_channels,
      "Channels per level when it is trained here; each level but the first halves the side.",
      in_range(1, kWidestLayer));
    v("layers_per_block", s.layers_per_block, "Residual blocks per level when it is trained here.",
      in_range(1, 64));
    v("norm_num_groups", s.norm_num_groups, "Groups of the group norms when it is trained here.",
      in_range(1, kWidestLayer));
    v("latent_channels", s.latent_channels, "Channels of the latent when it is trained here.",
      in_range(1, 1024));
  }
  void validate(std::vector<std::string>& problems) const;  // number of levels, and groups that do not divide
};

// The residual blocks of an AutoencoderTiny at each resolution, in the order of their use. A decoder for previews has
// no encoder: its list is empty.
struct TinyBlocks {
  std::vector<int64_t> encoder = {1, 3, 3, 3}, decoder = {3, 3, 3, 1};
  bool normed =
      false;  // blocks at the lowest resolution have a branch with a norm over the whole image, as in TAEF2
};

struct VaeConfig : VaeSize {
  int64_t in_channels = 3;
  // latent of the transformer = (sample - latents_mean - shift_factor) * scaling_factor / latents_std; only
  // features::LatentCodec computes it
  double scaling_factor = 0.18215, shift_factor = 0;
  std::vector<double> latents_mean = {}, latents_std = {};  // per channel; empty: mean 0, std 1
  // Only passed on, for diffusers: the side of its images (its tiles have it; 0: not known), and whether
  // float16 is too narrow for the decoder.
  int64_t sample_size = 0;
  bool force_upcast = true;
  // Of an AutoencoderTiny, whose block_out_channels are equal; unset: this is an AutoencoderKL.
  std::optional<TinyBlocks> tiny = {};
  int64_t downscale() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

VaeConfig vae_preset(const std::string& name);  // "sd-vae", "sdxl-vae"
std::vector<std::string> vae_preset_names();
// diffusers' config.json, of either kind. Throws UserError that lists every wrong or unsupported value.
VaeConfig read_vae_config(const std::filesystem::path& config_json);
void write_vae_config(const std::filesystem::path& config_json,
                      const VaeConfig& config);  // of an AutoencoderKL

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

// How decode_tiled() cuts a latent.
struct Tiling {
  int64_t tile = 64;      // side of a tile in latent pixels
  double overlap = 0.25;  // share of a side that neighbours have in common, 0 <= overlap < 1
  // In latent pixels. The tiles fit each other only if this is whole: tile * overlap without a remainder.
  int64_t shared() const { return std::llround(double(tile) * overlap); }
  bool is_whole() const { return double(shared()) == double(tile) * overlap; }
};

// decode() in tiles that are blended where they overlap, so that the activations of one tile are the most
// that is in memory; equal to diffusers' AutoencoderKL.tiled_decode. Norms and attention see one tile only,
// so the image differs a little from that of decode(). A latent that fits into one tile is decoded at once.
// Without gradients.
at::Tensor decode_tiled(const AutoencoderKl& vae, const at::Tensor& latent, const Tiling& tiling);

// Residual branches begin as the identity: conv weights N(0, 1/fan_in), biases 0; the last conv of every
// residual block and the attention output are zero.
void initialize(nn::StateDict& state, const VaeConfig& config, uint64_t seed);

// Deterministic, and without a scale of its own: its latents have about unit variance.
class AutoencoderTiny {
 public:
  AutoencoderTiny(const nn::Scope& scope, const VaeConfig& config);
  at::Tensor encode(const at::Tensor& image) const;   // image [B, 3, H, W] in [-1, 1] -> [B, L, H/f, W/f]
  at::Tensor decode(const at::Tensor& latent) const;  // -> [B, 3, H, W], not clamped
  const VaeConfig& config() const { return config_; }

 private:
  VaeConfig config_;
  std::shared_ptr<struct TinyLayers> layers_;
};

// One of the two kinds.
struct LoadedVae {
  std::unique_ptr<nn::StateDict> state;
  std::unique_ptr<AutoencoderKl> vae;
  std::unique_ptr<AutoencoderTiny> tiny = {};

  const VaeConfig& config() const { return tiny ? tiny->config() : vae->config(); }
  Moments encode(const at::Tensor& image) const;  // a tiny one's latent gets the smallest variance
  at::Tensor decode(const at::Tensor& latent) const {
    return tiny ? tiny->decode(latent) : vae->decode(latent);
  }
};
// The layers of the config's kind, with zeros or without storage as `options` say.
LoadedVae make_vae(const VaeConfig& config, const nn::StateDictOptions& options);
at::Tensor decode_tiled(const LoadedVae& loaded, const at::Tensor& latent, const Tiling& tiling);

// Whether load_vae() may find an autoencoder there: config.json, or the two files of a TAESD
// (*encoder.safetensors or .pth, and *decoder).
bool holds_vae(const std::filesystem::path& folder);
// From its config.json, or from the shapes of a TAESD's weights. Throws UserError.
VaeConfig vae_config_of(const std::filesystem::path& path);
// Loads a diffusers folder (also with old attention names), or a TAESD (a folder with its two files, or the file of
// its decoder), with float32 weights unless `dtype` is given.
LoadedVae load_vae(const std::filesystem::path& path, at::Device device, at::ScalarType dtype = at::kFloat);
void save_vae(const std::filesystem::path& folder, const VaeConfig& config, const nn::StateDict& state);

// Old names -> current names: those of LDM ("encoder.down.0.block.0...", after a prefix such as
// "first_stage_model.") and of old diffusers. Names that do not belong to the autoencoder (a discriminator,
// other models) are left out.
std::map<std::string, std::string> todays_vae_names(const std::vector<std::string>& names,
                                                    const VaeConfig& config);
// LDM's attention has 1x1 convolutions, today's has linear layers.
bool is_vae_attention_convolution(const std::string& todays_name, at::IntArrayRef shape);

// Applies both functions to tensors.
std::map<std::string, at::Tensor> rename_vae_weights(const std::map<std::string, at::Tensor>& tensors,
                                                     const VaeConfig& config);

// Which part of an AutoencoderTiny the weights are under the names of TAESD's files, where layers have only numbers.
enum class TinyPart { kNone, kEncoder, kDecoder };
TinyPart tiny_part_of(const formats::Weights& weights);
// The same weights under diffusers' names.
formats::Weights with_tiny_names(formats::Weights weights, TinyPart part);
// The config that the shapes of an AutoencoderTiny's weights tell, under diffusers' names. Throws UserError about
// `subject`.
VaeConfig tiny_vae_config(const formats::Weights& weights, const std::string& subject);

}  // namespace pixart::models
