// Writes folders for other libraries: a diffusers pipeline and its parts.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "pixart/convert/convert.h"
#include "pixart/convert/model_card.h"

namespace pixart::convert {

enum class TargetKind { kSafetensors, kPth, kFolder };

// The path to which `target` is written: `target`, or the target of a symbolic link. Refuses an existing path
// unless `overwrite` is true. A folder is overwritten only if all its files belong to a model, a file only by
// a file, and only if it begins as weights do.
std::filesystem::path checked_target(const std::filesystem::path& target, TargetKind kind, bool overwrite);

// Throws one UserError that lists the missing parts of a pipeline, before anything is written.
void check_pipeline_parts(const Architecture& architecture, const TargetOptions& options);

// A part of a pipeline that was written: a line for people, and the metadata of its weights.
struct WrittenPart {
  std::string line = {};
  formats::Metadata metadata = {};
};

// Writes all parts except transformer/: model_index.json, scheduler/, vae/, text_encoder/, tokenizer/. Returns the
// metadata of those with weights, by the name of the part.
std::vector<std::pair<std::string, CardMetadata>> write_pipeline_parts(const std::filesystem::path& folder,
                                                                       const Architecture& architecture,
                                                                       const diffusion::Process& process,
                                                                       const TargetOptions& options,
                                                                       ConvertReport& report);

// Writes an autoencoder of any layout in diffusers' layout.
WrittenPart write_vae_folder(const std::filesystem::path& folder, const Opened& source,
                             const TargetOptions& options);

// The class of a transformer's pipeline in diffusers.
const char* pipeline_class(const Architecture& architecture);

}  // namespace pixart::convert
