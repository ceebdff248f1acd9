// Decides the classes of the words of a prompt.
#pragma once
#include <vector>

#include "prompt_units.h"

namespace pixart::text {

// From left to right, by the words around: a noun ends its phrase, or a verb follows it, if that is likelier by the uses that
// WordNet counts, by what follows, and by the verbs that the clause has already.
void decide_classes(std::vector<Unit>& units);

}  // namespace pixart::text
