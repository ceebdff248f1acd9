// How the tensors of one layout are made from those of another, without their numbers: names, rows, order.
#pragma once
#include <string>
#include <vector>

#include "pixart/formats/weights.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"

namespace pixart::convert {

// Part `index` of `count` equal parts of a tensor along its first side.
struct Piece {
  std::string source;
  int64_t index = 0, count = 1;
};

// The pieces one below the other. `as_matrix`: the trailing sides of size 1 go (1x1 convolution -> linear).
// Where `copies` is filled, the source holds the tensor several times, and all must be equal.
struct MapLine {
  std::string target;
  std::vector<Piece> pieces;
  std::vector<std::string> copies = {};
  bool as_matrix = false;
};

struct TensorMap {
  std::vector<MapLine> lines;
  std::vector<std::string> dropped = {};  // of the source; they may be absent
};

// Official names (which are ours) -> diffusers' PixArtTransformer2DModel and back. pos_embed and
// y_embedder.y_embedding have no place there.
TensorMap pixart_to_diffusers(const models::PixArtConfig& config);
TensorMap pixart_from_diffusers(const models::PixArtConfig& config);

// The same for DiTTransformer2DModel, which holds the timestep and label embedders once per block.
TensorMap dit_to_diffusers(const models::DitConfig& config);
TensorMap dit_from_diffusers(const models::DitConfig& config);

// Older names of an AutoencoderKL (LDM, early diffusers) -> diffusers' own; see models::todays_vae_names().
TensorMap vae_to_diffusers(const formats::Weights& source, const models::VaeConfig& config);

// The mapped weights, read when asked for. Throws one UserError about `subject` with every source tensor that
// is missing, or that neither a line nor `dropped` accounts for, and every one that cannot be cut.
formats::Weights apply(const TensorMap& map, formats::Weights source, const std::string& subject);

// Floating-point tensors as `dtype`, the others as they are.
formats::Weights cast(formats::Weights source, at::ScalarType dtype);

// Checks names and shapes against the model's, as nn::load_state does, without reading anything.
void check_weights(const formats::Weights& weights, const models::PixArtConfig& config,
                   const std::string& subject, const std::vector<std::string>& may_be_missing = {});
void check_weights(const formats::Weights& weights, const models::DitConfig& config,
                   const std::string& subject, const std::vector<std::string>& may_be_missing = {});
void check_weights(const formats::Weights& weights, const models::VaeConfig& config,
                   const std::string& subject);
void check_weights(const formats::Weights& weights, const models::T5Config& config,
                   const std::string& subject);

}  // namespace pixart::convert
