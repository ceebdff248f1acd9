#include "interface.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <sstream>
#include <vector>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::distributed {

namespace {

constexpr const char* kLoopback = "127.0.0.1";
constexpr int kRetryMilliseconds = 50;
// Addresses of no machine (RFC 5737, RFC 3849): the way to them is the default route.
constexpr const char* kNowhere[] = {"192.0.2.1", "2001:db8::1"};
constexpr int kAnyPort = 9;

bool is_one_machine(const Launch& launch) { return launch.local_world_size == launch.world_size; }

// Means this machine on every machine.
bool is_literal_loopback(const std::string& host) { return host == "localhost" || is_loopback(host); }

std::string numeric(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST] = {};
  ::getnameinfo(address, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

// "Connecting" a UDP socket sends nothing; it only chooses the route.
std::string own_address_on_route(const addrinfo& to) {
  const Socket socket(::socket(to.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (!socket.is_open() || ::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0)
    return "";
  return numeric(reinterpret_cast<const sockaddr*>(&own), size);
}

// "" and the reason if the name is unknown or no route leads there.
std::string find_local_address(const Address& target, std::string& reason) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (code != 0) reason = ::gai_strerror(code);
  if (code != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  std::string best;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    const std::string own = own_address_on_route(*at);
    if (own.empty()) reason = std::strerror(errno);
    if (!own.empty() && (best.empty() || (is_loopback(best) && !is_loopback(own)))) best = own;
  }
  return best;
}

// MASTER_ADDR names the loopback here, as some /etc/hosts do for the machine's own name.
std::string address_for_others(const Launch& launch) {
  std::string reason;
  for (const char* nowhere : kNowhere)
    if (const auto own = find_local_address({nowhere, kAnyPort}, reason); !own.empty()) return own;
  throw UserError(
      fmt::format(
          "MASTER_ADDR '{}' is the loopback on this machine, which other machines cannot reach, and "
          "this machine has no default route. Set PIXART_SOCKET_IFNAME to the interface on which the ranks "
          "shall listen.",
          launch.master_address),
      ExitCode::kDevice);
}

struct Interface {
  std::string name, address;
  int family = AF_UNSPEC;
};

std::vector<Interface> interfaces() {
  ifaddrs* found = nullptr;
  if (::getifaddrs(&found) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(found, &::freeifaddrs);
  std::vector<Interface> result;
  for (const ifaddrs* at = list.get(); at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    result.push_back({at->ifa_name, numeric(at->ifa_addr, size), family});
  }
  return result;
}

bool is_link_local(const std::string& address) { return address.starts_with("fe80:"); }

}  // namespace

std::string local_address_towards(const Address& target, double deadline) {
  for (;;) {
    std::string reason;
    if (const std::string own = find_local_address(target, reason); !own.empty()) return own;
    if (stop_requested()) throw UserError("stopped on request while looking for rank 0", ExitCode::kRequeue);
    if (monotonic_seconds() >= deadline)
      throw UserError(fmt::format("cannot find rank 0 at MASTER_ADDR {}: {}", to_string(target), reason),
                      ExitCode::kDevice);
    ::poll(nullptr, 0, kRetryMilliseconds);
  }
}

std::string address_of_interface(const std::string& names) {
  const auto all = interfaces();
  std::istringstream stream(names);
  for (std::string name; std::getline(stream, name, ',');)
    for (const int family : {AF_INET, AF_INET6})
      for (const auto& one : all)
        if (one.name == name && one.family == family && !is_link_local(one.address)) return one.address;
  std::vector<std::string> known;
  for (const auto& one : all)
    if (known.empty() || known.back() != one.name) known.push_back(one.name);
  throw UserError(fmt::format("PIXART_SOCKET_IFNAME is '{}', but no such interface of this machine has an "
                              "address; these have: {}",
                              names, name_some(known)),
                  ExitCode::kDevice);
}

std::string own_address(const Launch& launch, double deadline) {
  if (is_one_machine(launch)) return kLoopback;
  if (!launch.interface.empty()) return address_of_interface(launch.interface);
  const std::string own = local_address_towards({launch.master_address, launch.master_port}, deadline);
  return is_loopback(own) && !is_literal_loopback(launch.master_address) ? address_for_others(launch) : own;
}

Address meeting_place(const Launch& launch, const std::string& own, double deadline) {
  if (is_one_machine(launch)) return {kLoopback, launch.master_port};
  const Address master{launch.master_address, launch.master_port};
  const std::string towards = local_address_towards(master, deadline);
  // Rank 0 runs on this machine too, and listens where the other machines can reach it.
  if (is_loopback(towards) && !is_literal_loopback(master.host)) return {own, master.port};
  return {launch.rank == 0 ? towards : master.host, master.port};
}

}  // namespace pixart::distributed
