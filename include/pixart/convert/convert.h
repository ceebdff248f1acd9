// Converts weights from one layout to another. Tensors are read, mapped and written one by one.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/file.h"
#include "pixart/convert/layout.h"
#include "pixart/convert/model_card.h"
#include "pixart/convert/reparameterize.h"
#include "pixart/convert/stated_process.h"
#include "pixart/formats/weights.h"

namespace pixart::convert {

// Weights under official names, which this program uses, whatever layout they had when opened.
struct OfficialWeights {
  formats::Weights weights;
  Identity identity;
  std::string license = {};
  std::vector<std::string> notes = {};  // for people: assumptions, tensors that are missing
};

// Maps the opened weights; throws UserError unless every tensor is accounted for. diffusers' layout has
// neither pos_embed, which is computed, nor y_embedder.y_embedding: with `text_encoder` (a T5 folder) that is
// T5 of the empty caption, otherwise it is missing.
OfficialWeights to_official(Opened opened, const std::filesystem::path& text_encoder = {});

struct TargetOptions {
  std::optional<at::ScalarType> dtype = {};  // of floating-point tensors; unset: as in the source
  uint64_t shard_bytes = uint64_t{5} << 30;
  std::string license = {};  // replaces the license of the source
  bool overwrite = false;
  Durability durability = Durability::kLater;  // the target can be made again from its source
  ChosenProcess process = {};                  // what the model predicts; unset: as the source says
  // Writes a pipeline folder; needs a T5 folder (with spiece.model, or `tokenizer`), an autoencoder, and to know
  // what the model predicts.
  bool pipeline = false;
  std::filesystem::path text_encoder = {}, tokenizer = {}, vae = {};
  CardFacts card = {};  // for the README.md of a folder
};

// Describes the written files, for people.
struct ConvertReport {
  std::vector<std::string> lines;
};

// Writes a DiT or PixArt to `target`: *.safetensors (official names), *.pth (like the official trainers), or
// a folder (diffusers' model, or with `pipeline` a folder for DiffusionPipeline.from_pretrained).
// `conversion` is stored in the metadata. A folder gets a model card.
ConvertReport write_transformer(const OfficialWeights& source, const std::filesystem::path& target,
                                const std::string& conversion, const TargetOptions& options);

// Converts an autoencoder in any layout to a diffusers folder.
ConvertReport convert_vae(const Opened& source, const std::filesystem::path& target,
                          const TargetOptions& options);

// The class-to-text re-parameterisation of a DiT file.
struct ReparameterizeRequest {
  // Grid, captions, conditions; other values come from the DiT. input_size 0: that of the DiT; position_scale
  // 0: the published one for that size (1 up to a side of 127, then side / 64; PixArt-Sigma: always side / 64).
  models::PixArtConfig target;
  ReparameterizeOptions options = {};
};
struct Reparameterized {
  OfficialWeights weights;  // they own the new model
  std::vector<PlannedTensor> plan;
  Proof proof;  // the caller decides whether it must hold
};
Reparameterized reparameterize(const OfficialWeights& dit, const ReparameterizeRequest& request);

}  // namespace pixart::convert
