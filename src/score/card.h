// The protocol card: a JSON file with scores and what they depend on.
#pragma once

#include <filesystem>

namespace pixart::score {

inline constexpr const char* kCardKind = "pixart score, 1";  // the number changes with the meaning of a value

// Throws UserError(kStorage) unless a file can be made at this path. Tries it with a temporary file, whose folders are
// made as well; nothing of that stays.
void require_writable(const std::filesystem::path& file);

}  // namespace pixart::score
