// What this process is doing, in a few words, so that a rank which dies or hangs can be named with its last
// phase.
#pragma once
#include <string>
#include <string_view>

namespace pixart::dist {

// Notes the phase; takes nanoseconds. Each call of a Communicator notes its own. Under `pixart launch` the
// note lies in memory shared with the launcher, where it outlives the process. Cut after 199 bytes.
void enter_phase(std::string_view phase);
std::string current_phase();

// Tells the launcher that this process ends because of another rank. -1: none.
void accuse_rank(int rank);

}  // namespace pixart::dist
