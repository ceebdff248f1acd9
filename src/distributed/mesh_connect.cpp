#include <sys/resource.h>

#include "mesh.h"
#include "pixart/base/env.h"
#include "pixart/base/words.h"

namespace pixart::distributed {

namespace {

// With two connections per pair, about 500 ranks need more descriptors than the usual limit of 1024.
void allow_descriptors(size_t num_ranks) {
  rlimit limit{};
  const rlim_t needed = 2 * num_ranks + GateLimits().pending + 256;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  limit.rlim_cur = std::min(limit.rlim_max, needed);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Socket& channel_of(Link& link, Purpose purpose) {
  return purpose == Purpose::kData ? link.data : link.control;
}

void take(Visitor visitor, int rank, std::vector<Link>& links) {
  const Introduction& who = visitor.introduction;
  if (who.purpose == Purpose::kMeeting || who.rank <= uint32_t(rank) || who.rank >= links.size()) return;
  Socket& channel = channel_of(links[who.rank], who.purpose);
  if (!channel.is_open()) channel = std::move(visitor.socket);
}

std::vector<std::string> missing(int rank, const std::vector<Link>& links) {
  std::vector<std::string> names;
  for (size_t r = size_t(rank) + 1; r < links.size(); ++r)
    if (!links[r].data.is_open() || !links[r].control.is_open()) names.push_back(std::to_string(r));
  return names;
}

void let_in_all(int rank, Gate& gate, double deadline, std::vector<Link>& links) {
  while (!missing(rank, links).empty()) {
    std::vector<Visitor> visitors = gate.wait(deadline);
    for (auto& visitor : visitors) take(std::move(visitor), rank, links);
    if (!visitors.empty()) continue;
    throw UserError(
        fmt::format("these ranks did not connect to rank {} in time: {}. Is there a firewall between the "
                    "machines?",
                    rank, name_some(missing(rank, links))),
        ExitCode::kDevice);
  }
}

}  // namespace

std::vector<Link> connect_all(const Launch& launch, const std::vector<Address>& addresses,
                              const std::string& key, const Socket& listener, double deadline,
                              Strangers& strangers) {
  allow_descriptors(addresses.size());
  std::vector<Link> links(addresses.size());
  // All ranks listen already, and each one lets others in as soon as it has connected to those below it.
  for (int lower = 0; lower < launch.rank; ++lower)
    for (const Purpose purpose : {Purpose::kData, Purpose::kControl})
      channel_of(links[size_t(lower)], purpose) =
          connect_as(introduction_of(launch, purpose), lower, addresses[size_t(lower)], key, deadline);
  if (!listener.is_open()) return links;
  Gate gate(listener, key, launch.rank);
  let_in_all(launch.rank, gate, deadline, links);
  strangers += gate.close();
  return links;
}

}  // namespace pixart::distributed
