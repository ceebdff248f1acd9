// Which rank is at fault when a run has failed; several ends look alike, as the others end because of the
// first.
#pragma once
#include <optional>
#include <span>
#include <string>

namespace pixart::dist {

struct RankEnd {
  int exit_code = 0;         // meaningless when a signal ended it
  int signal = 0;            // 0: ended by itself
  int order = 0;             // it was the n-th to end
  bool was_stopped = false;  // we had told it to stop, as another had failed before
  int accused = -1;          // the rank on which it put the blame
  std::string phase;         // its last
};

struct Blame {
  int rank = 0;
  int code = 0;  // for the launcher to end with
  std::string message;
};

// Ends by rank. In this order: killed by a signal of others' making; failed without blaming another rank;
// blamed by the first that failed (it hangs, or has left); failed at all. Nothing if no rank failed.
std::optional<Blame> find_guilty(std::span<const RankEnd> ends);

// Neither done nor stopped on request.
bool is_failure(const RankEnd& end);

}  // namespace pixart::dist
