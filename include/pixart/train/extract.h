// Features of a run's stages: latents of pictures and text features of captions, computed once
// (data/feature_set.h).
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/latent_set.h"
#include "pixart/train/components.h"

namespace pixart::train {

// Where a set lies: <features>/<source>-latents-<resolution>[-aspect][-mirrored] and
// <features>/<source>-captions.
std::filesystem::path features_folder(const RunConfig& run);
std::filesystem::path latent_set_folder(const RunConfig& run, const StageConfig& stage,
                                        const std::string& source);
std::filesystem::path caption_set_folder(const RunConfig& run, const std::string& source);

// Opens the set; makes it first where it is missing, with a progress bar. Throws UserError where one is there
// that was made of something else (naming each input), and where more samples are unusable than the source's
// budget allows. Throws UserError(kRequeue) where it was asked to stop: what is finished is kept. With
// `is_mended` every byte of a complete set is checked before, and what is damaged is made again.
data::LatentSet latent_set(const RunConfig& run, const StageConfig& stage, const std::string& source,
                           const data::Dataset& dataset, const LatentCodec& codec, at::Device device,
                           bool is_mended = false);
data::CaptionSet caption_set(const RunConfig& run, const std::string& source, const data::Dataset& dataset,
                             const CaptionEncoder& encoder, bool is_mended = false);

struct ExtractOptions {
  std::string only_stage;  // empty: all
  bool latents = true, captions = true, is_mended = false;
};

// `pixart extract`: every set that the run's stages need. Several processes may share the work.
void extract(const RunConfig& config, const ExtractOptions& options);

// `pixart extract --verify`: compares every complete set with its manifest, and changes nothing. Throws one
// UserError(kStorage) that names every damaged file.
void verify_features(const RunConfig& config, const ExtractOptions& options);

}  // namespace pixart::train
