// UTF-8 (Unicode 15, table 3-7): overlong forms, surrogates and cut sequences are invalid.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace pixart {

// Length of the UTF-8 sequence at `at`; 0 if it is invalid.
size_t utf8_sequence(std::string_view text, size_t at);
bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);

bool is_utf16(std::string_view text);  // by its byte-order mark
// Throws UserError if the text of the file `name` is UTF-16.
void refuse_utf16(std::string_view text, const std::string& name);

// Python's bytes.decode("utf-8", "replace"): each longest beginning of a sequence, and each other invalid
// byte, becomes one U+FFFD.
std::string replace_invalid_utf8(std::string_view bytes);

void append_utf8(std::string& text, char32_t code_point);

}  // namespace pixart
