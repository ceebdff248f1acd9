// The run file's keys of stored features.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

#include "pixart/base/rule.h"
#include "pixart/data/caption_set.h"
#include "pixart/data/latent_set.h"

namespace pixart::run {

// Features of images and captions that are computed before a stage trains on them.
struct FeaturesConfig {
  std::optional<std::filesystem::path> path;
  data::LatentDtype latent_dtype = data::LatentDtype::kFloat16;
  data::CaptionDtype caption_dtype = data::CaptionDtype::kBFloat16;
  double shard_megabytes = 512;
  int64_t index_rows = 10'000;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("path", s.path, "Folder of feature sets; unset: in the run folder. Missing sets are made there.",
      any().free());
    v("latent_dtype", s.latent_dtype, "Type of stored latents.", any());
    v("caption_dtype", s.caption_dtype,
      "Type of stored text features; float8_e4m3fn, with a scale per token, takes half the space of "
      "bfloat16.",
      any());
    v("shard_megabytes", s.shard_megabytes, "Approximate size of a shard.", positive_up_to(1e6));
    v("index_rows", s.index_rows,
      "Sources of files with at least this number of rows have an index in the folder, which later starts and "
      "all ranks share; smaller ones are listed at each start.",
      in_range(1, 1e12).free());
  }
};

}  // namespace pixart::run
