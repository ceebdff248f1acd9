// Files of tiny autoencoders.
#pragma once
#include <filesystem>
#include <optional>

#include "../json_config.h"
#include "pixart/models/vae.h"

namespace pixart::models {

// Of an AutoencoderTiny's config.json; the caller adds the problems of the config itself.
VaeConfig read_tiny_vae_config(JsonConfig& json);

// The weights of a TAESD in its own layout under diffusers' names: a folder with two files and no config.json, or
// one of these files. Unset where `path` is something else.
std::optional<formats::Weights> open_taesd(const std::filesystem::path& path);

}  // namespace pixart::models
