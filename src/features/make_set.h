// How a feature set is made, checked or made anew, whatever it holds.
#pragma once
#include <filesystem>
#include <functional>

#include "pixart/data/feature_set.h"
#include "pixart/features/extract.h"

namespace pixart::features {

// What extracting latents and extracting captions have in common.
struct SetMaker {
  // The work that makes the set in a folder; its items may be missing.
  std::function<data::FeatureWork(const std::filesystem::path& folder)> work;
  std::function<void(data::FeatureWork&)> begin;  // counts the items, and shows progress from now on
  std::function<void()> end;                      // of the progress
  // Takes over what it can of the complete set in this folder.
  std::function<void(const std::filesystem::path& former)> take_from;
};

// Makes the set in `folder` unless it is complete, together with other processes. Throws what latent_set() throws.
void make_set(const run::RunConfig& config, const std::filesystem::path& folder, const SetMaker& maker,
              const SetOptions& options);

}  // namespace pixart::features
