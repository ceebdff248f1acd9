// The initial weights of a transformer that is trained.
#pragma once
#include <string>
#include <vector>

#include "pixart/convert/convert.h"
#include "pixart/models/transformer.h"

namespace pixart::convert {

// The identified transformer. Throws UserError, naming `subject`, if the weights are not a transformer.
models::TransformerConfig transformer_of(const Identity& identity, const std::string& subject);
Architecture architecture_of(const models::TransformerConfig& config);

// Copies the weights of a model of the same kind into `state`, which must be initialised. Adapters keep their
// initial values. So do a text model's position table, which belongs to its own grid, and where the source
// does not have them, micro-condition embedders, the weights of compressed keys, and the last rows of a longer
// null caption. A PixArt-Sigma leaves out the micro-conditions of PixArt-alpha. Returns clauses for people
// about all of this except adapters and positions. Throws one UserError about `subject` that lists all tensors
// that do not fit.
std::vector<std::string> copy_into(nn::StateDict& state, const models::TransformerConfig& target,
                                   const OfficialWeights& source, const std::string& subject);

// Derives the weights of the text-conditional `target`, which are in `state`, from the class-conditional
// model `source`. Throws UserError if the models are of other kinds or if the proof does not hold.
struct ReparameterizedInto {
  std::vector<PlannedTensor> plan;
  Proof proof;
};
ReparameterizedInto reparameterize_into(nn::StateDict& state, const models::Transformer& target,
                                        const OfficialWeights& source, const ReparameterizeOptions& options,
                                        const std::string& subject);

// Throws the errors of reparameterize_into() that names, shapes and options tell. `state` is on the meta device,
// and so may the weights of `source` be (formats::shapes_only()).
void check_reparameterize_into(const nn::StateDict& state, const models::Transformer& target,
                               const OfficialWeights& source, const ReparameterizeOptions& options,
                               const std::string& subject);

}  // namespace pixart::convert
