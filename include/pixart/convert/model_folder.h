// What the folder of a model holds, and so what may be deleted when the folder is replaced.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pixart::convert {

// What `folder` holds and no folder of a model, of adapters or of a pipeline does: paths below `folder`,
// sorted. Known are the names that diffusers, transformers and PEFT give to weights (model,
// diffusion_pytorch_model, pytorch_model ...), configurations and tokenizers, and a pipeline's folders
// (transformer, vae, text_encoder, tokenizer, scheduler) with the same. Not known are other names (README.md
// too), symbolic links, deeper folders, and a config.json or model_index.json that says nothing of a model.
std::vector<std::string> foreign_entries(const std::filesystem::path& folder);

// UserError that names them, or says that `folder` is not a folder. One that does not exist or is empty is
// good.
void require_model_folder(const std::filesystem::path& folder);

}  // namespace pixart::convert
