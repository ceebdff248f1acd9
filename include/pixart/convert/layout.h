// Identifies the layout, model and size of a weight file by the names and shapes of its tensors.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pixart/diffusion/noise_schedule.h"
#include "pixart/formats/weights.h"
#include "pixart/models/t5.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"

namespace pixart::convert {

enum class Layout {
  kDit,              // facebookresearch/DiT's names, which this program uses
  kPixArt,           // names of PixArt-alpha and PixArt-Sigma (PixArt, PixArtMS), which this program uses
  kDitDiffusers,     // DiTTransformer2DModel
  kPixArtDiffusers,  // PixArtTransformer2DModel, Transformer2DModel
  kVae,              // diffusers' AutoencoderKL, with current or early names
  kVaeLdm,           // latent diffusion's names, perhaps in a whole checkpoint
  kTinyVae,          // diffusers' AutoencoderTiny
  kTinyVaePart,      // the encoder or the decoder of a TAESD in a file of its own
  kT5,               // Hugging Face's T5, with or without decoder
  kLora,             // only adapters, in any naming
  kOptimizer,        // moments of AdamW in a checkpoint of this program
  kUnknown
};
std::string layout_name(Layout layout);  // for people

using Architecture = std::variant<std::monostate, models::DitConfig, models::PixArtConfig, models::VaeConfig,
                                  models::T5Config>;

// Facts that shapes do not tell. config.json and metadata win over hints, hints win over guesses.
struct LayoutHints {
  std::optional<int64_t> num_heads = {}, max_tokens = {}, num_classes = {};
  std::optional<double> position_scale = {};
};

struct Identity {
  Layout layout = Layout::kUnknown;
  Architecture architecture = {};
  std::vector<std::string> assumed = {};  // "16 heads, as published for a width of 1152"
  std::string summary = {};  // "PixArt-Sigma, depth 28, width 1152, 16 heads, patch 2, latent side 128, ..."
  // Of a transformer and of adapters, as their files say (stated_process.h); unset where they say nothing
  // that is known.
  std::optional<diffusion::Process> process = {};
};

// Weights and their identity. A config.json next to them is used. No values are read except a position table.
// Throws UserError if the file or its config.json is wrong, or the file does not have the wanted set (see
// formats::open_weights()).
struct Opened {
  std::filesystem::path path;
  formats::Weights weights = {};
  Identity identity = {};
};
Opened open_and_identify(const std::filesystem::path& path, const std::string& which = "model",
                         const LayoutHints& hints = {});
// The same for weights that were opened in another way; a config.json next to `path` is used.
Opened identified(const std::filesystem::path& path, formats::Weights weights, const LayoutHints& hints = {});

// The architecture as one line of JSON, as in the metadata of written files, and back (throws UserError).
std::string architecture_text(const Architecture& architecture);
Architecture parse_architecture(const std::string& text, const std::string& subject);

}  // namespace pixart::convert
