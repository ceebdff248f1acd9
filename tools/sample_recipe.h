// How an image was made, as its PNG says. Anyone may write such a text, so its numbers obey the limits of the
// options in whose place they are.
#pragma once
#include <filesystem>
#include <map>
#include <string>

namespace pixart::tools {

// Throws UserError that lists every number of the recipe that is not a number, or is outside of the limits of
// --height, --width, --steps, --guidance, --seed and --step.
void check_recipe(const std::map<std::string, std::string>& text, const std::filesystem::path& image);

}  // namespace pixart::tools
