// The text of an HTML fragment: BeautifulSoup(markup, "html.parser").text, of Python 3.11.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {

// Returns markup that html.parser refuses ("<![x") unchanged.
std::string html_text(std::string_view markup);

}  // namespace pixart::text
