// The images of a stage that encodes them in its steps, in place of stored latents.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "pixart/features/image_reader.h"
#include "pixart/features/stage_data.h"
#include "pixart/models/vae.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

class StageImages {
 public:
  // For a stage with encode.latents: on_the_fly, whose autoencoder is `vae`.
  StageImages(StageParts parts, const run::StageConfig& stage, const models::VaeConfig& vae, uint64_t seed,
              const ImageMemoryPlace& memory = {});
  ~StageImages();

  struct Size {
    int64_t height = 0, width = 0;
  };
  Size size(uint8_t bucket) const;                          // of the images of a micro-batch
  std::vector<int64_t> latent_shape(uint8_t bucket) const;  // L, h, w

  // Reads the image of a row for a position, cut as for stored latents (or at a drawn place: encode.random_crop) and
  // mirrored for the same positions as these, into `planes` [3, height, width]. Returns the size of the source
  // image. Throws data::BadSample, and UserError if the image does not belong into the bucket any more. May be
  // called from several threads.
  Size read(size_t part, int64_t row, int64_t position, uint8_t bucket, uint8_t* planes) const;

  void require_same() const;    // UserError if an image is not the one that the stage has read before
  void save_checksums() const;  // of the images read so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::features
