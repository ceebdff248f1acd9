// The diffusers pipeline that a transformer belongs to.
#pragma once
#include <filesystem>
#include <optional>

namespace pixart::convert {

// Classes of diffusers for a PixArt. Only the former gives micro-conditions; by default, captions have 120 tokens
// in the former and 300 in the latter.
inline constexpr const char *kAlphaPipeline = "PixArtAlphaPipeline", *kSigmaPipeline = "PixArtSigmaPipeline";
inline constexpr const char* kPipelineIndex = "model_index.json";

// `name` in the pipeline's folder: that of the weights at `path` (a file or folder), or the one above if the former
// is called transformer. Nothing if the file does not exist.
std::optional<std::filesystem::path> pipeline_file(const std::filesystem::path& path,
                                                   const std::filesystem::path& name);

// Whether the pipeline around the weights at `path` is PixArt-Sigma's (with PAG, too); nothing if it is not
// PixArt-alpha's either, or if there is none.
std::optional<bool> is_of_sigma_pipeline(const std::filesystem::path& path);

}  // namespace pixart::convert
