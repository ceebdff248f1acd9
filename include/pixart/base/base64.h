// Base64 (RFC 4648, section 4): bytes as printable text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace pixart {

std::string to_base64(std::string_view bytes);

// Nothing, if `text` is not exactly what to_base64() makes of some bytes: no blanks, padding complete.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace pixart
