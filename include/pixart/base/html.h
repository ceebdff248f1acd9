// The common frame of the HTML pages that commands write: one self-contained file, light or dark like the
// reader's system (light on paper), readable on a narrow screen and on paper, without scripts or network. Its
// Content-Security-Policy says so to the browser: should a text ever get into the page as HTML, it runs nothing
// and loads nothing from elsewhere. Images may be files next to the page; styles may be in the page.
#pragma once
#include <string>
#include <string_view>

namespace pixart {

// Escapes text between tags and in attributes with double quotes; control characters become spaces.
std::string html_escaped(std::string_view text);

// "data:image/png;base64,...": the bytes of a file in place of its address.
std::string data_url(std::string_view media_type, std::string_view bytes);

// A whole page. `body` is HTML. In addition to plain tags it may use .note (small print), .number (cells
// aligned to the right), .scroll (around a table that may be too wide), .wide and .narrow (one of two images,
// chosen by the width of the screen), and in SVG .axis, .grid, .mark and .series-0 to .series-5 (colours for
// both themes). `style`: CSS for this page only.
std::string html_page(std::string_view title, std::string_view body, std::string_view style = {});

constexpr int kNumSeriesColours = 6;

}  // namespace pixart
