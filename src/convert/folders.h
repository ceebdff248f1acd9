// Folders that other libraries open: a diffusers pipeline and its parts.
#pragma once
#include <filesystem>
#include <string>

#include "pixart/convert/convert.h"

namespace pixart::convert {

enum class TargetKind { kSafetensors, kPth, kFolder };

// Where `target` is written: itself, or where it leads if it is a symbolic link. Refuses what exists, unless
// `overwrite`; a folder is overwritten only if all that it holds is of a model, a file only by a file.
std::filesystem::path checked_target(const std::filesystem::path& target, TargetKind kind, bool overwrite);

// What a pipeline needs and lacks, all at once (UserError), before anything is written.
void check_pipeline_parts(const Architecture& architecture, const TargetOptions& options);

// Everything but transformer/: model_index.json, scheduler/, vae/, text_encoder/, tokenizer/.
void write_pipeline_parts(const std::filesystem::path& folder, const Architecture& architecture,
                          const TargetOptions& options, ConvertReport& report);

// An autoencoder of any layout in diffusers' own; returns a line for people.
std::string write_vae_folder(const std::filesystem::path& folder, const Opened& source,
                             const TargetOptions& options);

}  // namespace pixart::convert
