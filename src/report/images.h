// Chooses and encodes sample grids so that all of them fit into a page.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/formats/image_file.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

struct EmbeddedImage {
  int64_t step = 0;
  int width = 0, height = 0;
  std::string data;  // "data:image/png;base64,..."
};

struct EmbeddedGrids {
  std::vector<EmbeddedImage> images;
  size_t num_damaged = 0;
};

// Evenly spaced indices of [0, size), with the first and the last; all indices if there are no more.
std::vector<size_t> evenly_spread(size_t size, size_t count);

// Grids of one stage, encoded to at most `bytes`, always with the last grid (made smaller if necessary).
EmbeddedGrids embedded_grids(const std::vector<SampleGrid>& samples, uint64_t bytes);

// Halves width and height; each pixel is the mean of four.
Image halved(const Image& image);

}  // namespace pixart::report
