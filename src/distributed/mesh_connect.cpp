#include <sys/resource.h>

#include "mesh.h"
#include "pixart/base/env.h"
#include "pixart/base/words.h"

namespace pixart::distributed {

namespace {

constexpr uint32_t kHelloMagic = 0x50784831;
constexpr double kHelloSeconds = 5;

struct Hello {
  uint32_t magic, rank, channel, unused;
  uint64_t token;
};

// With two connections per pair, about 500 ranks need more descriptors than the usual limit of 1024.
void allow_descriptors(size_t num_ranks) {
  rlimit limit{};
  const rlim_t needed = 2 * num_ranks + 256;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  limit.rlim_cur = std::min(limit.rlim_max, needed);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Socket& channel_of(Link& link, uint32_t channel) { return channel == 0 ? link.data : link.control; }

// Closes connections of strangers (port scanners, another run).
bool take(Socket socket, uint64_t token, int rank, double deadline, std::vector<Link>& links) {
  Hello hello{};
  if (!read_until(socket, &hello, sizeof hello, std::min(deadline, monotonic_seconds() + kHelloSeconds)))
    return false;
  const bool ours = hello.magic == kHelloMagic && hello.token == token && hello.channel < 2 &&
                    hello.rank > uint32_t(rank) && hello.rank < links.size();
  if (!ours || channel_of(links[hello.rank], hello.channel).is_open()) return false;
  channel_of(links[hello.rank], hello.channel) = std::move(socket);
  return true;
}

}  // namespace

std::vector<Link> connect_all(int rank, const std::vector<Address>& addresses, uint64_t token,
                              const Socket& listener, double deadline) {
  allow_descriptors(addresses.size());
  std::vector<Link> links(addresses.size());
  // All ranks listen already, so connecting does not wait for an accept.
  for (int lower = 0; lower < rank; ++lower) {
    for (uint32_t channel = 0; channel < 2; ++channel) {
      const std::string name = fmt::format("rank {}", lower);
      Socket socket = connect_until(addresses[size_t(lower)], deadline, name);
      const Hello hello{kHelloMagic, uint32_t(rank), channel, 0, token};
      if (!write_until(socket, &hello, sizeof hello, deadline))
        throw UserError(fmt::format("{} has closed the connection of rank {} at the start", name, rank),
                        ExitCode::kDevice);
      channel_of(links[size_t(lower)], channel) = std::move(socket);
    }
  }
  const auto missing = [&] {
    std::vector<std::string> names;
    for (size_t r = size_t(rank) + 1; r < links.size(); ++r)
      if (!links[r].data.is_open() || !links[r].control.is_open()) names.push_back(std::to_string(r));
    return names;
  };
  while (!missing().empty()) {
    Socket socket = accept_until(listener, deadline);
    if (!socket.is_open())
      throw UserError(
          fmt::format("these ranks did not connect to rank {} in time: {}. Is there a firewall between the "
                      "machines?",
                      rank, name_some(missing())),
          ExitCode::kDevice);
    take(std::move(socket), token, rank, deadline, links);
  }
  return links;
}

}  // namespace pixart::distributed
