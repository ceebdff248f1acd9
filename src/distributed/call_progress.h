// How far each rank is in the calls that all ranks make, and who keeps the others waiting.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pixart::distributed {

// Numbers of calls, counted from the first one. Each is at most the one before it.
struct CallProgress {
  int64_t begun = 0;     // on the host
  int64_t returned = 0;  // to the program: the work is queued on the device
  int64_t reached = 0;   // by the device: what was queued before the call is done
  int64_t done = 0;      // on the device
};

struct Delay {
  int64_t call = 0;        // the first that is not done on all ranks
  std::vector<int> ranks;  // those that are least far in it; empty if all are equally far
  std::string place;       // where these ranks are, in words
};

Delay find_delay(std::span<const CallProgress> ranks);

// "rank 2: call 5 of NCCL has not returned from the library; the other ranks are further. ", then `problem`.
std::string name_delay(const Delay& delay, const std::string& problem);

}  // namespace pixart::distributed
