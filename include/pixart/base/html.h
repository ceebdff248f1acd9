// What the pages that commands write have in common: one self-contained file, light or dark as the reader's
// system is (paper: light), readable on a narrow screen and on paper, without scripts and without network.
#pragma once
#include <string>
#include <string_view>

namespace pixart {

// For text between tags and for attributes in double quotes; control characters become spaces.
std::string html_escaped(std::string_view text);

// A whole page. `body` is HTML; it may use, beside plain tags: .note (small print), .number (cells, to the
// right), .scroll (round a table that may be too wide), .wide and .narrow (one of two pictures, by the width
// of the screen), and in SVG .axis, .grid, .mark and .series-0 to .series-5 (colours that suit both themes).
// `style`: CSS of this page alone.
std::string html_page(std::string_view title, std::string_view body, std::string_view style = {});

constexpr int kNumSeriesColours = 6;

}  // namespace pixart
