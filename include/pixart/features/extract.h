// Computes the features of a run's stages once: latents of images and text features of captions
// (data/feature_set.h).
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/latent_set.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"

namespace pixart::features {

// The folders of the sets: <features>/<source>-latents-<resolution>[-aspect][-mirrored] and
// <features>/<source>-captions.
std::filesystem::path features_folder(const run::RunConfig& run);
std::filesystem::path latent_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                                        const std::string& source);
std::filesystem::path caption_set_folder(const run::RunConfig& run, const std::string& source);

// The size of the latents of one image, with all variants; of another shape in aspect buckets about the same.
int64_t latent_record_bytes(const run::RunConfig& run, const run::StageConfig& stage,
                            const models::VaeConfig& vae);

// Opens the set, and first makes it if it is missing, with a progress bar. Throws UserError if an existing
// set was made from other inputs (names each one), and if more samples are unusable than the source's budget
// allows. Throws UserError(kRequeue) if it was asked to stop; finished shards are kept. With `is_mended` it
// first checks every byte of a complete set and makes damaged shards again.
data::LatentSet latent_set(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source, const data::Dataset& dataset, const LatentCodec& codec,
                           at::Device device, bool is_mended = false);
data::CaptionSet caption_set(const run::RunConfig& run, const std::string& source,
                             const data::Dataset& dataset, const CaptionEncoder& encoder,
                             bool is_mended = false);

struct ExtractOptions {
  std::string only_stage;  // empty: all stages
  bool latents = true, captions = true, is_mended = false;
};

// `pixart extract`: makes every set that the run's stages need. Several processes may share the work.
void extract(const run::RunConfig& config, const ExtractOptions& options);

// `pixart extract --verify`: compares every complete set with its manifest, and then every image of the sources
// with the one that its latents were made from. Changes nothing. Throws one UserError(kStorage) that names every
// damaged file, or one UserError that names images that have changed.
void verify_features(const run::RunConfig& config, const ExtractOptions& options);

}  // namespace pixart::features
