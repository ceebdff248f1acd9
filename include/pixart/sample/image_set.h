// Draws many images with one model and one choice of settings into a folder.
#pragma once
#include <cstdint>
#include <string>

#include "pixart/sample/image_folder.h"
#include "pixart/sample/pipeline.h"

namespace pixart::sample {

struct ImageSet {
  DrawRequest draw;         // each prompt once
  int64_t count = 1;        // images for each prompt, one after the other
  GenerateOptions options;  // without functions
  int64_t size() const { return int64_t(draw.prompts.size()) * count; }
  const std::string& prompt(int64_t i) const { return draw.prompts[size_t(i / count)]; }
};

// What the files depend on: the content of all inputs, and the settings. It waits for the hash of the weights.
Settings settings_of(const Pipeline& pipeline, const ImageSet& set);

// How image i is made, for its PNG: everything that draws it once more with its model. Of paths it holds what
// was given inside the working directory, or the last name, so that it says nothing of the machine.
PngText text_of(const Pipeline& pipeline, const ImageSet& set, int64_t i);

// Draws the images that the folder lacks, and saves each when it is decoded. Images are drawn together as if
// none were there, so their bytes do not depend on how often the work was interrupted (on the CPU, with the
// same number of threads). The memory that it needs does not grow with their number. After a request to stop
// it throws UserError(kRequeue) that says how to continue; after another error it logs this, and throws it on.
void draw_missing(const Pipeline& pipeline, const ImageSet& set, ImageFolder& folder);

// Writes grid.png with the first images of the folder: as many as a grid of 64 megapixels holds. Returns their
// number.
int64_t write_grid(const ImageFolder& folder, const ImageSet& set, int columns);

}  // namespace pixart::sample
