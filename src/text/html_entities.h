// Resolves HTML 5 character references as Python does. Texts are valid UTF-8.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {

struct HtmlEntity {
  std::string_view name;  // without & and ;
  std::string_view text;
  bool legacy;  // also valid without the semicolon
};

const HtmlEntity* find_html_entity(std::string_view name);  // or nullptr

// html.unescape(): with or without semicolons, longest known name first.
std::string unescape_html(std::string_view text);

// ftfy's unescape_html(): only references that end in a semicolon, and all-caps forms of lower-case names.
std::string unescape_html_strictly(std::string_view text);

// A numeric reference ("65", "x41") as BeautifulSoup resolves it.
std::string numeric_reference(std::string_view digits);

}  // namespace pixart::text
