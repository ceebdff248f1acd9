// Weights from one layout to another. Tensors are read, mapped and written one by one.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/file.h"
#include "pixart/convert/layout.h"
#include "pixart/convert/reparameterize.h"
#include "pixart/formats/weights.h"

namespace pixart::convert {

// Weights under official names, which are ours, whatever layout they were opened in.
struct OfficialWeights {
  formats::Weights weights;
  Identity identity;
  std::string license = {};
  std::vector<std::string> notes = {};  // for people: assumptions, what could not be had
};

// Maps what was opened; every tensor is accounted for (UserError). From diffusers' layout, pos_embed is
// computed; y_embedder.y_embedding is absent there: with `text_encoder` (a T5 folder) it is T5 of the empty
// caption, without it is missing.
OfficialWeights to_official(Opened opened, const std::filesystem::path& text_encoder = {});

struct TargetOptions {
  std::optional<at::ScalarType> dtype = {};  // of floating-point tensors; unset: as in the source
  uint64_t shard_bytes = uint64_t{5} << 30;
  std::string license = {};  // instead of what the source says
  bool overwrite = false;
  Durability durability = Durability::kLater;  // it can be made again from its source
  // A whole pipeline folder: T5 folder (with spiece.model, or `tokenizer` beside), autoencoder folder.
  bool pipeline = false;
  std::filesystem::path text_encoder = {}, tokenizer = {}, vae = {};
};

// What was written, for people.
struct ConvertReport {
  std::vector<std::string> lines;
};

// Writes a DiT or PixArt to `target`: *.safetensors (official names), *.pth (a file as the official trainers
// write it), or a folder (diffusers' model, or with `pipeline` one that DiffusionPipeline.from_pretrained
// opens). `conversion` goes into the metadata.
ConvertReport write_transformer(const OfficialWeights& source, const std::filesystem::path& target,
                                const std::string& conversion, const TargetOptions& options);

// An autoencoder in any layout to a diffusers folder.
ConvertReport convert_vae(const Opened& source, const std::filesystem::path& target,
                          const TargetOptions& options);

// The class-to-text re-parameterisation of a DiT file.
struct ReparameterizeRequest {
  // Grid, captions, conditions; the rest is the DiT's. input_size 0: the DiT's; position_scale 0: as
  // published for that size (1 up to a side of 127, then side / 64).
  models::PixArtConfig target;
  ReparameterizeOptions options = {};
};
struct Reparameterized {
  OfficialWeights weights;  // hold the new model
  std::vector<PlannedTensor> plan;
  Proof proof;  // whether it holds is for the caller to require
};
Reparameterized reparameterize(const OfficialWeights& dit, const ReparameterizeRequest& request);

}  // namespace pixart::convert
