// The interfaces of this machine on which ranks listen: never on all of them.
#pragma once
#include <string>

#include "pixart/distributed/launch_variables.h"
#include "socket.h"

namespace pixart::distributed {

// This machine's own numeric address on the route to `target`; one of the loopback only without any other.
// Tries to resolve the name until the deadline. Throws UserError(kDevice), and kRequeue when asked to stop.
std::string local_address_towards(const Address& target, double deadline);

// The numeric address of the first of `names` ("ib0,eth0") that has one. Throws UserError(kDevice) that lists
// the interfaces of this machine.
std::string address_of_interface(const std::string& names);

// Where this rank listens: the loopback if all ranks run on this machine, otherwise the address of
// Launch::interface, or the one from which this machine reaches MASTER_ADDR. Throws UserError.
std::string own_address(const Launch& launch, double deadline);

// Where rank 0 waits for the others, seen from this rank, if the starter does not say it.
Address meeting_place(const Launch& launch, const std::string& own, double deadline);

}  // namespace pixart::distributed
