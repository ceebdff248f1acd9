// Repairs text as ftfy 6 does with its default settings (ftfy.fix_text). The rules and tables follow ftfy,
// (c) Robyn Speer, Apache licence 2.0; src/text/README.md names the exceptions.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {

// Repairs HTML entities, wrongly decoded text, ligatures, character width, quotes, line breaks, terminal
// escapes, control characters and NFC, line by line, until nothing changes.
std::string fix_text(std::string_view text);

// ftfy.fix_encoding(): repairs text that was decoded with the wrong encoding ("mojibake"), until nothing
// changes.
std::string fix_encoding(std::string text);

// Replaces C1 control characters by the characters of Windows-1252, as web browsers do.
std::string fix_c1_controls(std::string_view text);

}  // namespace pixart::text
