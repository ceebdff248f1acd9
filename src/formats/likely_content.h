// Guesses at files that are not what their names say.
#pragma once
#include <string>
#include <string_view>

#include "input_file.h"

namespace pixart::formats {

// By the first bytes (at best 512), e.g. "a GIF image"; "" if it is unknown.
std::string_view likely_content(std::string_view bytes);

// "not a safetensors file, but an HTML page, perhaps the error page of a download", with the beginning of a
// text; without the guess if the content is unknown. `wanted`: "a safetensors file".
std::string not_but(const InputFile& file, const std::string& wanted);

}  // namespace pixart::formats
