// The weights that a transformer starts its training from.
#pragma once
#include <string>
#include <vector>

#include "pixart/convert/convert.h"
#include "pixart/models/transformer.h"

namespace pixart::convert {

// The transformer that was identified. Throws UserError, naming `subject`, if it is none.
models::TransformerConfig transformer_of(const Identity& identity, const std::string& subject);
Architecture architecture_of(const models::TransformerConfig& config);

// Copies the weights of a model of the same kind into `state`, which is initialised already: adapters keep
// their initial values; a text model's position table belongs to its own grid, and micro-condition embedders
// that the source lacks keep theirs. Throws one UserError about `subject` that names all tensors that do not
// fit.
void copy_into(nn::StateDict& state, const models::TransformerConfig& target, const OfficialWeights& source,
               const std::string& subject);

// Makes the class-conditional model `source` the start of the text-conditional `target`, whose weights are in
// `state`. Throws UserError if they are models of other kinds, or if the proof does not hold.
struct ReparameterizedInto {
  std::vector<PlannedTensor> plan;
  Proof proof;
};
ReparameterizedInto reparameterize_into(nn::StateDict& state, const models::Transformer& target,
                                        const OfficialWeights& source, const ReparameterizeOptions& options,
                                        const std::string& subject);

}  // namespace pixart::convert
