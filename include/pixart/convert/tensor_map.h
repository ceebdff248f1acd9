// Describes how the tensors of one layout are made from those of another: names, rows, order; no values.
#pragma once
#include <string>
#include <vector>

#include "pixart/formats/weights.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"

namespace pixart::convert {

// Part `index` of `count` equal parts of a tensor along its first dimension.
struct Piece {
  std::string source;
  int64_t index = 0, count = 1;
};

// The pieces, concatenated along the first dimension. `as_matrix`: trailing dimensions of size 1 are removed
// (1x1 convolution -> linear). `copies`: other names of the same tensor in the source; all must be equal.
struct MapLine {
  std::string target;
  std::vector<Piece> pieces;
  std::vector<std::string> copies = {};
  bool as_matrix = false;
};

struct TensorMap {
  std::vector<MapLine> lines;
  std::vector<std::string> dropped = {};  // tensors of the source that are not used; they may be absent
};

// Official names (which this program uses) -> diffusers' PixArtTransformer2DModel, and back. diffusers'
// layout has neither pos_embed nor y_embedder.y_embedding.
TensorMap pixart_to_diffusers(const models::PixArtConfig& config);
TensorMap pixart_from_diffusers(const models::PixArtConfig& config);

// The ControlNet alone -> PixArtControlNetAdapterModel (diffusers' research_projects/pixart); the model that it controls is
// not in its folder.
TensorMap control_to_diffusers(const models::PixArtConfig& config);

// The same for DiTTransformer2DModel, which has the timestep and label embedders in every block.
TensorMap dit_to_diffusers(const models::DitConfig& config);
TensorMap dit_from_diffusers(const models::DitConfig& config);

// Older names of an AutoencoderKL (LDM, early diffusers) -> diffusers' own; see models::todays_vae_names().
TensorMap vae_to_diffusers(const formats::Weights& source, const models::VaeConfig& config);

// The mapped weights, read on request. Throws one UserError about `subject` that lists every source tensor
// that is missing, is in neither a line nor `dropped`, or cannot be divided.
formats::Weights apply(const TensorMap& map, formats::Weights source, const std::string& subject);

// Floating-point tensors converted to `dtype`, other tensors unchanged.
formats::Weights cast(formats::Weights source, at::ScalarType dtype);

// Checks names and shapes against the model's, like nn::load_state(), without reading any values.
void check_weights(const formats::Weights& weights, const models::PixArtConfig& config,
                   const std::string& subject, const std::vector<std::string>& may_be_missing = {});
void check_weights(const formats::Weights& weights, const models::DitConfig& config,
                   const std::string& subject, const std::vector<std::string>& may_be_missing = {});
void check_weights(const formats::Weights& weights, const models::VaeConfig& config,
                   const std::string& subject);
void check_weights(const formats::Weights& weights, const models::T5Config& config,
                   const std::string& subject);

}  // namespace pixart::convert
