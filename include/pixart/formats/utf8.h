#pragma once
#include <cstddef>
#include <string_view>

namespace pixart::formats {

// Length of the UTF-8 sequence at `at`; 0 if it is invalid (an overlong form, a surrogate or a cut
// sequence).
size_t utf8_sequence(std::string_view text, size_t at);
bool is_utf8(std::string_view text);

}  // namespace pixart::formats
