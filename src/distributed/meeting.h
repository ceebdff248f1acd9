// The ranks meet at rank 0: each tells where it listens, and learns it of all others.
#pragma once
#include <string>
#include <vector>

#include "handshake.h"

namespace pixart::distributed {

inline constexpr const char* kMeetingPhase = "meeting the other ranks";

// What a rank knows before it meets the others.
struct Attendance {
  const Launch& launch;
  std::string key;  // session_key()
  Address own;      // where it listens for the ranks above it
  double deadline = 0;
};

// Both return the addresses of all ranks, in their order, and throw the same error on all ranks that are
// there: UserError(kDevice) that names the missing ranks, kRequeue if one of them was asked to stop.
// Rank 0 waits for the others at `door`.
std::vector<Address> host_meeting(const Attendance& attendance, const Socket& door, Strangers& strangers);
// The others go to rank 0 at `place`.
std::vector<Address> attend_meeting(const Attendance& attendance, const Address& place);

}  // namespace pixart::distributed
