// How often the nouns occur, by rank, as SVG: both axes logarithmic, a line at the bar for valid nouns.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "pixart/data/noun_statistics.h"

namespace pixart::data {

// `width` and `height` in CSS pixels at which the letters have their size. Series take the colours of
// base/html.h in turn.
std::string noun_curve_svg(const std::vector<NounStatistics>& rows, int width, int height);

}  // namespace pixart::data
