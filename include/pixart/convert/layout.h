// What a weight file is: which layout, which model, which size; told from names and shapes.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pixart/formats/weights.h"
#include "pixart/models/t5.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"

namespace pixart::convert {

enum class Layout {
  kDit,              // facebookresearch/DiT's names, which are ours
  kPixArt,           // PixArt-alpha's names (PixArt and PixArtMS), which are ours
  kDitDiffusers,     // DiTTransformer2DModel
  kPixArtDiffusers,  // PixArtTransformer2DModel, Transformer2DModel
  kVae,              // diffusers' AutoencoderKL, today's or early names
  kVaeLdm,           // latent diffusion's names, perhaps in a whole checkpoint
  kT5,               // Hugging Face's T5, with or without decoder
  kLora,             // adapters alone, in anyone's names
  kOptimizer,        // moments of AdamW in a checkpoint of ours
  kUnknown
};
std::string layout_name(Layout layout);  // for people

using Architecture = std::variant<std::monostate, models::DitConfig, models::PixArtConfig, models::VaeConfig,
                                  models::T5Config>;

// What shapes do not tell; a file's own word (config.json, metadata) comes first, these before our guesses.
struct LayoutHints {
  std::optional<int64_t> num_heads = {}, max_tokens = {};
  std::optional<double> position_scale = {};
};

struct Identity {
  Layout layout = Layout::kUnknown;
  Architecture architecture = {};
  std::vector<std::string> assumed = {};  // "16 heads, as published for a width of 1152"
  std::string summary = {};  // "PixArt-MS, depth 28, width 1152, 16 heads, patch 2, latent side 128"
};

// Weights and what they are. config.json is looked for beside them. Of the numbers only a position table is
// read. Throws UserError if the file or its config.json is wrong, or holds no such set (see
// formats::open_weights).
struct Opened {
  std::filesystem::path path;
  formats::Weights weights = {};
  Identity identity = {};
};
Opened open_and_identify(const std::filesystem::path& path, const std::string& which = "model",
                         const LayoutHints& hints = {});

// The architecture in one line of JSON, as files of ours carry it in their metadata, and back (UserError).
std::string architecture_text(const Architecture& architecture);
Architecture parse_architecture(const std::string& text, const std::string& subject);

}  // namespace pixart::convert
