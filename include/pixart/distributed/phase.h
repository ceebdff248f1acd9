// The current activity (phase) of this process in a few words, so that messages about a rank that dies or
// hangs can name its last phase.
#pragma once
#include <string>
#include <string_view>

namespace pixart::distributed {

// Records the phase; takes nanoseconds. Each call of a Communicator records its own phase. Under `pixart
// launch` the record is in memory shared with the launcher, where it outlives the process. Cut after 199
// bytes.
void enter_phase(std::string_view phase);
std::string current_phase();

// Tells the launcher why this process ends: because of `rank`, which may be its own (its device or NCCL
// failed); -1: the rank is unknown. `problem` is a sentence, cut after 799 bytes.
void accuse_rank(int rank, std::string_view problem);

}  // namespace pixart::distributed
