// Repairs of text as ftfy 6 makes them with its default settings (ftfy.fix_text). The rules and tables follow
// ftfy, (c) Robyn Speer, Apache licence 2.0; src/text/README.md says how far.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {

// HTML entities, wrongly decoded text, ligatures, character width, quotes, line breaks, terminal escapes,
// control characters and NFC, line by line, until nothing changes.
std::string fix_text(std::string_view text);

// ftfy.fix_encoding(): text that was decoded with the wrong encoding ("mojibake"), until nothing changes.
std::string fix_encoding(std::string text);

// C1 control characters become what Windows-1252 has there, as in web browsers.
std::string fix_c1_controls(std::string_view text);

}  // namespace pixart::text
