// Computes the features of a run's stages once: latents of images and text features of captions
// (data/feature_set.h).
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/dataset.h"
#include "pixart/data/latent_set.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/teacher.h"

namespace pixart::features {

// The folders of the sets: <features>/<source>-latents-<resolution>[-aspect][-mirrored] and
// <features>/<source>-captions; of control images (StageConfig::for_control()) <source>-canny-100-200-<resolution> and so
// on; what a stage's teacher sees: <source>-teacher-<its folder>-<resolution> and so on. Several resolutions are joined by "-", and "-shared" follows with their rule.
std::filesystem::path features_folder(const run::RunConfig& run);
// <features>/index: the indexes of the run's sources.
data::IndexPlace index_place(const run::RunConfig& run);
std::filesystem::path latent_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                                        const std::string& source);
std::filesystem::path teacher_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                                         const std::string& source);  // of a stage with alignment
std::filesystem::path caption_set_folder(const run::RunConfig& run, const std::string& source);

// The size of the latents of one image, with all variants; of another shape in aspect buckets about the same. The mean
// of several resolutions.
int64_t latent_record_bytes(const run::RunConfig& run, const run::StageConfig& stage,
                            const models::VaeConfig& vae);

int64_t teacher_record_bytes(const run::StageConfig& stage, const TeacherSizes& sizes);  // of one image

// What is done with sets that exist, and with the work of other processes.
struct SetOptions {
  // Check every byte of a complete set first and make damaged files again. Adds what sets of earlier versions lack.
  bool is_mended = false;
  // Make a complete set anew if its source has changed; features of unchanged samples are taken over.
  bool is_updated = false;
  // Make the shards of slow processes, too. Not in training, which needs each rank again in its first step.
  bool helps = false;
};

// Opens the set, and first makes it if it is missing, with a progress bar. Throws UserError if an existing
// set was made from other inputs (names each one), and if more samples are unusable than the source's budget
// allows. Throws UserError(kRequeue) if it was asked to stop; finished shards are kept.
data::LatentSet latent_set(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source, const data::Dataset& dataset, const LatentCodec& codec,
                           at::Device device, const SetOptions& options = {});
// What the stage's teacher sees in the images as the stage cuts them: images of all shapes have [C, P, P].
data::LatentSet teacher_set(const run::RunConfig& run, const run::StageConfig& stage,
                            const std::string& source, const data::Dataset& dataset, const Teacher& teacher,
                            const SetOptions& options = {});
data::CaptionSet caption_set(const run::RunConfig& run, const std::string& source,
                             const data::Dataset& dataset, const CaptionEncoder& encoder,
                             const SetOptions& options = {});

struct ExtractOptions {
  std::string only_stage;  // empty: all stages
  bool latents = true, captions = true;
  SetOptions sets = {.helps = true};
};

// `pixart extract`: makes every set that the run's stages need, and says what they encode in their steps instead. Several processes may share the work.
void extract(const run::RunConfig& config, const ExtractOptions& options);

// `pixart extract --verify`: compares every complete set with its manifest, and then every image of the sources
// with the one that its latents were made from. Changes nothing. Throws one UserError(kStorage) that names every
// damaged file, or one UserError that names images that have changed.
void verify_features(const run::RunConfig& config, const ExtractOptions& options);

}  // namespace pixart::features
