// Decides whether a folder is only the folder of a model, and may be deleted when it is replaced.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pixart::convert {

// Whether a file begins as those of safetensors and PyTorch do, or is empty. It may be cut off.
bool begins_as_weights(const std::filesystem::path& file);

// The entries of `folder` that do not belong to a model, adapters or a pipeline: paths below `folder`,
// sorted. These names belong: those that diffusers, transformers and PEFT give to weights (model,
// diffusion_pytorch_model, pytorch_model ...), configurations and tokenizers, a pipeline's folders (transformer,
// vae, text_encoder, tokenizer, scheduler) with such files, and a model card with its sample images that nobody has
// changed since (model_card.h). These do not: other names (another README.md, too), symbolic links, deeper folders, and a config.json or model_index.json that does not
// describe a model, and files with the names of weights that do not begin as weights do.
std::vector<std::string> foreign_entries(const std::filesystem::path& folder);

// Throws UserError that lists those entries, or says that `folder` is not a folder. A missing or empty folder
// is accepted.
void require_model_folder(const std::filesystem::path& folder);

}  // namespace pixart::convert
