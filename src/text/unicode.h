// Functions of Python's str on valid UTF-8.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pixart/base/utf8.h"

namespace pixart::text {

// The code point at `at`; advances `at` to the next one.
char32_t next_code_point(std::string_view text, size_t& at);

bool is_space(char32_t code_point);  // str.isspace() of one character
std::string_view strip(std::string_view text);
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);

std::string lower(std::string_view text);  // str.lower(), with the final sigma and U+0130
std::string nfc(std::string_view text);
std::string nfkc(std::string_view text);
std::string nfd(std::string_view text);

}  // namespace pixart::text
