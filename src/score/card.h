// The protocol card: a JSON file with scores and what they depend on.
#pragma once

namespace pixart::score {

inline constexpr const char* kCardKind = "pixart score, 1";  // the number changes with the meaning of a value

}  // namespace pixart::score
