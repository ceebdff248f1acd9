// The TCPStore that torchrun serves at MASTER_ADDR:MASTER_PORT. Everybody who reaches that port can read and
// write it, so the ranks only leave a note there where rank 0 waits, and believe nobody who has not proved to
// be a rank (handshake.h).
#pragma once
#include "pixart/distributed/launch_variables.h"
#include "socket.h"

namespace pixart::distributed {

// Both throw UserError: kDevice, and kRequeue when asked to stop.
void announce_meeting(const Launch& launch, const Address& door, double deadline);  // by rank 0
Address find_meeting(const Launch& launch, double deadline);                        // by the others

}  // namespace pixart::distributed
