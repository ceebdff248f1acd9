// A shuffle of which each element is computed alone, without a list in memory.
//
// The numbers 0 ... n-1 are written as pairs of digits below two numbers of about sqrt(n). Ten rounds of a Feistel
// network add to one digit a number that is drawn from the other one, in turn: each round can be undone, so it maps
// different pairs to different pairs. The pairs are a few more than n; a result that is not below n goes through the
// network again, until one is (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). With fewer than 64
// numbers such a network prefers some orders; there the shuffle is an element of permutation().
#pragma once
#include <cstdint>

#include "pixart/base/random.h"

namespace pixart {

// Element `index` of a shuffle of 0 ... n-1, a pure function of the key. 0 <= index < n < 2^62. Takes less than
// two microseconds for every n. The values are part of the run format.
int64_t shuffled(const RandomKey& key, int64_t n, int64_t index);

}  // namespace pixart
