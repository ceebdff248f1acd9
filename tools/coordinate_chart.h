// The coordinate check of `pixart plan --coord-check`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/run/run_config.h"

namespace pixart::tools {

struct CoordinateChart {
  std::filesystem::path file;  // .svg; the table is next to it, with .json
  std::string stage = {};      // "": the first one with a transformer
  std::vector<int64_t> widths = {};
  int64_t steps = 4, seeds = 3;
};

// Trains small models, writes the chart and the table, and prints the slopes.
void draw_coordinate_check(const run::RunConfig& run, const CoordinateChart& chart);

}  // namespace pixart::tools
