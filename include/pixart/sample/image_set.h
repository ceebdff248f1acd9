// Draws many images with one model and one choice of settings into a folder.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pixart/distributed/communicator.h"
#include "pixart/sample/image_folder.h"
#include "pixart/sample/pipeline.h"
#include "pixart/sample/suite.h"

namespace pixart::sample {

struct ImageSet {
  DrawRequest draw;                         // each prompt once
  int64_t count = 1;                        // images for each prompt, one after the other
  GenerateOptions options;                  // without functions
  std::shared_ptr<const Suite> suite = {};  // in place of prompts and count

  int64_t size() const;  // files
  const std::string& prompt(int64_t i) const;
  int64_t images_per_file() const { return suite ? suite->images_per_file() : 1; }
  NoiseKey noise_key(int64_t i, int64_t k) const;  // of image k in file i
  DrawRequest size_of(int64_t i) const;            // the request for file i, without a prompt
};

// Throws UserError that names each prompt whose class or size the model does not have.
void check(const Pipeline& pipeline, const ImageSet& set);

// What the files depend on: the content of all inputs, and the settings. It waits for the hash of the weights.
Settings settings_of(const Pipeline& pipeline, const ImageSet& set);

// What settings_of() says of prompts that are not a suite. A prompt may contain any character, so its length is
// hashed, too.
std::string hash_of_prompts(const std::vector<std::string>& prompts);

// How file i is made, for its PNG: everything that draws it once more with its model. Of paths it holds what
// was given inside the working directory, or the last name, so that it says nothing of the machine.
PngText text_of(const Pipeline& pipeline, const ImageSet& set, int64_t i);

// Draws the images that the folder lacks, and saves each when it is decoded. All ranks call it together, with
// the same folder, and take the groups of images that are drawn together in turn. The groups are those of a
// folder without images on one rank, so the bytes depend neither on how often the work was interrupted nor on
// the number of ranks (on the CPU, with the same number of threads). The memory that it needs does not grow
// with the number of images. After a request to stop it throws UserError(kRequeue) that says how to continue;
// after another error it logs this, and throws it on.
void draw_missing(const Pipeline& pipeline, const ImageSet& set, ImageFolder& folder,
                  distributed::Communicator& ranks);

// Writes grid.png with the first images of the folder: as many as a grid of 64 megapixels holds, and at most 400.
// Returns their number.
int64_t write_grid(const ImageFolder& folder, const ImageSet& set, int columns);

// kArchive. Throws UserError if the images have several sizes or are grids.
void check_archive(const Pipeline& pipeline, const ImageSet& set);
// All ranks call it together; rank 0 writes, and memory holds one image. UserError(kRequeue) on a request to stop.
void write_archive(const Pipeline& pipeline, const ImageSet& set, const ImageFolder& folder,
                   distributed::Communicator& ranks);

}  // namespace pixart::sample
