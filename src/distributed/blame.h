// Determines which rank is at fault when a run has failed. The other ranks end because of the first, so
// several ends look alike.
#pragma once
#include <optional>
#include <span>
#include <string>

namespace pixart::distributed {

struct RankEnd {
  int exit_code = 0;            // meaningless when a signal ended it
  int signal = 0;               // 0: ended by itself
  int order = 0;                // it was the n-th to end
  bool was_stopped = false;     // we had told it to stop because another rank had failed
  bool outlasted_stop = false;  // others had ended on request long before, so we killed it
  bool stayed_idle = false;     // it used no processor time after another one had ended, so we killed it
  int accused = -1;             // the rank that it blamed, which may be its own
  std::string phase;            // its last phase
  std::string problem = {};     // why it ended, as it said
};

struct Blame {
  int rank = 0;
  int code = 0;  // exit code for the launcher
  std::string message;
};

// `ends`: one per rank. The guilty rank is the first of: a rank killed by a signal that was not ours; one
// that failed without blaming any, also one that failed so while it was stopped; one that blamed itself and said why;
// one blamed by the first failed rank (it hangs, or has left); one that outlasted a request to stop, or stayed idle;
// any that failed. Nothing if no rank failed.
std::optional<Blame> find_guilty(std::span<const RankEnd> ends);

// True if the rank is neither done nor stopped on request.
bool is_failure(const RankEnd& end);

}  // namespace pixart::distributed
