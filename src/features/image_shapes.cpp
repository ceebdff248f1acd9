#include "pixart/features/image_shapes.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <mutex>

#include "image_cut.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "pixart/data/latent_set.h"
#include "pixart/features/extract.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/run/stopped.h"
#include "shared_work.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr const char *kSizes = "sizes", *kPictures = "pictures";  // [rows, 2] int32; the source's fingerprint
constexpr int64_t kImagesAtOnce = 1024;                           // images between two signs of life

fs::path file_of(const run::RunConfig& run, const std::string& source) {
  return features_folder(run) / (source + "-sizes.safetensors");
}

// Height and width of each image, 0 where there is none; undefined if the file is missing or of other images.
at::Tensor kept_sizes(const fs::path& file, const data::Dataset& dataset) {
  if (!fs::exists(file)) return {};
  try {
    auto found = formats::load_safetensors(file);
    const at::Tensor sizes = found.tensors[kSizes];
    if (sizes.defined() && sizes.scalar_type() == at::kInt &&
        sizes.sizes() == at::IntArrayRef({dataset.size(), 2}) &&
        found.metadata[kPictures] == dataset.fingerprint())
      return sizes.contiguous();
    log::info("{} is of other images and is made again", file.string());
  } catch (const UserError& error) {
    log::warning("the sizes of images are read again: {}", error.what());
  }
  return {};
}

at::Tensor read_sizes(const std::string& source, const data::Dataset& dataset) {
  const int64_t rows = dataset.size();
  at::Tensor sizes = at::zeros({rows, 2}, at::kInt);
  Progress progress("read sizes of images of " + source, rows, "image");
  for (int64_t first = 0; first < rows; first += kImagesAtOnce) {
    const int64_t count = std::min(kImagesAtOnce, rows - first);
    for_each_in_parallel(count, [&](int64_t i) {
      try {
        const auto [height, width] = dataset.image_size(first + i);
        int32_t* out = sizes.data_ptr<int32_t>() + 2 * (first + i);
        out[0] = height, out[1] = width;
      } catch (const data::BadSample&) {  // its size stays 0
      }
    });
    give_sign_of_life();
    progress.update(first + count);
    if (stop_requested()) throw run::stopped("while sizes of images were read");
  }
  return sizes;
}

// One process makes the file, the others wait for it.
at::Tensor sizes_of(const run::RunConfig& run, const std::string& source, const data::Dataset& dataset) {
  const fs::path file = file_of(run, source);
  at::Tensor sizes = kept_sizes(file, dataset);
  if (sizes.defined()) return sizes;
  create_folders(file.parent_path());
  blame_silent_rank([&] {
    auto claim =
        Claim::wait_for(file.parent_path() / ("." + source + "-sizes.lock"), file, shared_with_ranks());
    sizes = kept_sizes(file, dataset);
    if (sizes.defined()) return;
    const SignsOfLife signs(claim);
    remove_leftovers(file.parent_path(), {.files = {source + R"(-sizes\.safetensors)"}});
    sizes = read_sizes(source, dataset);
    formats::save_safetensors(file, {{kSizes, sizes}}, {{kPictures, dataset.fingerprint()}});
  });
  return sizes;
}

}  // namespace

ImageShapes image_shapes(const run::RunConfig& run, const run::StageConfig& stage,
                         const data::SourceConfig& source, const data::Dataset& dataset) {
  const data::TrainingShapes shapes = stage.shapes();
  const at::Tensor sizes = sizes_of(run, source.name, dataset);
  ImageShapes result{.buckets = std::vector<uint8_t>(size_t(dataset.size())),
                     .rejected = data::rejected_images(dataset)};
  std::vector<int64_t> listed;
  for (const auto& rejection : result.rejected) listed.push_back(rejection.row);
  for (int64_t row = 0; row < dataset.size(); ++row) {
    if (std::binary_search(listed.begin(), listed.end(), row)) continue;
    const int32_t* size = sizes.const_data_ptr<int32_t>() + 2 * row;
    formats::ImageSize known{.height = size[0], .width = size[1]};
    try {
      if (known.height == 0) known = dataset.image_size(row);  // the file does not tell why
      result.buckets[size_t(row)] = bucket_of(shapes, dataset, row, known.height, known.width);
    } catch (const data::BadSample& bad) {
      result.rejected.push_back(bad.rejection());
    }
  }
  std::ranges::sort(result.rejected, {}, &data::Rejection::row);
  return result;
}

}  // namespace pixart::features
