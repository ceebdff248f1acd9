#include "rendezvous.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <tuple>
#include <utility>

#include "agent_store.h"
#include "interface.h"
#include "meeting.h"
#include "pixart/base/env.h"
#include "pixart/base/log.h"
#include "pixart/distributed/phase.h"

namespace pixart::distributed {

namespace {

bool listens(int descriptor) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

// The starter's variable may be stale: only a socket that listens at the right port is taken.
Socket inherited_door(const Launch& launch) {
  if (launch.door < 0 || !listens(launch.door) || port_of(launch.door) != launch.master_port) return {};
  ::fcntl(launch.door, F_SETFD, FD_CLOEXEC);
  return Socket(launch.door);
}

Socket listen_at(const Address& place) {
  try {
    return listen_on(place.host, place.port).first;
  } catch (const UserError& error) {
    throw UserError(
        fmt::format("the ranks cannot meet: {}. Does another run use this port? Set MASTER_PORT to "
                    "another number on all ranks.",
                    error.what()),
        error.code());
  }
}

Socket open_door(const Attendance& attendance) {
  const Launch& launch = attendance.launch;
  if (Socket door = inherited_door(launch); door.is_open()) return door;
  if (!launch.store_is_served)
    return listen_at(meeting_place(launch, attendance.own.host, attendance.deadline));
  auto [door, port] = listen_on(attendance.own.host);
  announce_meeting(launch, {attendance.own.host, port}, attendance.deadline);
  return std::move(door);
}

std::vector<Address> exchange_addresses(const Attendance& attendance, Strangers& strangers) {
  const Launch& launch = attendance.launch;
  if (launch.rank == 0) return host_meeting(attendance, open_door(attendance), strangers);
  return attend_meeting(attendance, launch.store_is_served
                                        ? find_meeting(launch, attendance.deadline)
                                        : meeting_place(launch, attendance.own.host, attendance.deadline));
}

std::vector<Link> connect_ranks(const Launch& launch, double deadline, Strangers& strangers) {
  Attendance attendance{launch, session_key(launch), {own_address(launch, deadline), 0}, deadline};
  Socket listener;
  if (launch.rank + 1 < launch.world_size)  // nobody connects to the last one
    std::tie(listener, attendance.own.port) = listen_on(attendance.own.host);
  const auto addresses = exchange_addresses(attendance, strangers);
  return connect_all(launch, addresses, attendance.key, listener, deadline, strangers);
}

}  // namespace

std::unique_ptr<Mesh> meet(const Launch& launch, const CommunicatorOptions& options) {
  enter_phase(kMeetingPhase);
  if (launch.token_is_derived && launch.rank == 0)
    log::info(
        "the ranks prove themselves by the job's id, which others may know; PIXART_RUN_TOKEN sets a secret");
  Strangers strangers;
  const double deadline = monotonic_seconds() + options.rendezvous_seconds;
  auto links = connect_ranks(launch, deadline, strangers);
  if (strangers.all() > 0) log::warning("rank {} {}", launch.rank, to_string(strangers));
  auto mesh = std::make_unique<Mesh>(launch.rank, std::move(links), options.timeout_seconds);
  mesh->exchange({.name = "barrier", .phase = kMeetingPhase}, std::vector<Part>(size_t(launch.world_size)));
  return mesh;
}

}  // namespace pixart::distributed
