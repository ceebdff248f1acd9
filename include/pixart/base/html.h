// The common frame of the HTML pages that commands write: one self-contained file, light or dark like the
// reader's system (light on paper), readable on a narrow screen and on paper, without network; a script needs PageScript. Its
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

// The one script that a page runs, and where it may send what it collects.
struct PageScript {
  std::string_view script;
  bool connects_home = false;   // to the server that the page came from
  std::string connect_to = {};  // to this address on http(s); "": to none
};
// The policy names the script by its SHA-256, so that no other one runs. Throws UserError if `connect_to` cannot
// be part of a policy.
std::string html_page(std::string_view title, std::string_view body, std::string_view style,
                      const PageScript& script);

// The policy of such a page, for servers that send it as a header, too.
std::string content_policy(const PageScript& script);

// `json` for a data block in a page, <script type="application/json">: it ends no element.
std::string json_for_html(std::string_view json);

constexpr int kNumSeriesColours = 6;

}  // namespace pixart
