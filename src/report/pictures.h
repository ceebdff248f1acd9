// Sample grids, chosen and encoded so that all of them fit into a page.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/formats/image_file.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

struct EmbeddedPicture {
  int64_t step = 0;
  int width = 0, height = 0;
  std::string data;  // "data:image/png;base64,..."
};

struct EmbeddedGrids {
  std::vector<EmbeddedPicture> pictures;
  size_t num_damaged = 0;
};

// Evenly spread indices of [0, size), with the first and the last; all where there are no more.
std::vector<size_t> evenly_spread(size_t size, size_t count);

// Grids of one stage, at most `bytes` as they stand in the page, never fewer than the last (made smaller).
EmbeddedGrids embedded_grids(const std::vector<SampleGrid>& samples, uint64_t bytes);

// Half as wide and high, each pixel the mean of four.
Image halved(const Image& image);

}  // namespace pixart::report
