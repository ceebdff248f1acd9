// Names below wrappers: DistributedDataParallel's "module.", torch.compile's "_orig_mod.", Lightning's
// "model.", ComfyUI's "model.diffusion_model.", and others around these.
#pragma once
#include <string>
#include <vector>

#include "pixart/formats/weights.h"

namespace pixart::convert {

// Names without what PyTorch's wrappers of single layers add anywhere (_orig_mod, _fsdp_wrapped_module, ...).
formats::Weights without_inner_parts(formats::Weights weights);

// PixArt-delta's files of a ControlNet have the controlled model below this prefix, next to controlnet.*; this program does
// not. The first removes it from files that have it.
inline constexpr const char* kControlledPrefix = "base_model.";
formats::Weights without_controlled_part(formats::Weights weights);
formats::Weights with_controlled_part(formats::Weights weights);

// The same weights without a wrapper before all their names, with a note for people. `marks`: names by which
// layouts are recognised, the most wanted first; the tensors below the prefix of the first that is found are
// kept. Without such a prefix the weights are returned as they are. Throws UserError about `subject` if there
// are several prefixes; one of an EMA is not counted if there is another one.
formats::Weights unwrapped(formats::Weights weights, const std::vector<std::string>& marks,
                           const std::string& subject);

}  // namespace pixart::convert
