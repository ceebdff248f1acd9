#include "exchange.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pixart/base/env.h"
#include "pixart/base/words.h"

namespace pixart::distributed {

namespace {

constexpr uint32_t kFrameMagic = 0x50784632;
constexpr uint64_t kTurnBytes = 1 << 20;  // moved to or from one rank before the next rank's turn
constexpr int64_t kNoticeMilliseconds = 1000;

template <size_t N>
void copy_text(char (&to)[N], std::string_view from) {
  const size_t n = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), n);
  to[n] = '\0';
}

template <size_t N>
std::string text_of(const char (&from)[N]) {
  return {from, ::strnlen(from, N)};
}

std::string describe(const FrameHeader& header) {
  return fmt::format("{} of {} bytes (type or root {}, call {}) in \"{}\"", text_of(header.name),
                     header.call_bytes, header.detail, header.sequence, text_of(header.phase));
}

}  // namespace

Exchange::Exchange(Mesh& mesh, const Call& call, std::span<const Part> parts)
    : mesh_(mesh), call_(call), parts_(parts), peers_(size_t(mesh.world_size())) {
  const double now = monotonic_seconds();
  for (size_t r = 0; r < peers_.size(); ++r) {
    FrameHeader& out = peers_[r].out;
    out.magic = kFrameMagic;
    out.detail = call.detail;
    out.sequence = mesh.sequence_;
    out.payload_bytes = parts[r].send_bytes;
    out.call_bytes = call.bytes;
    copy_text(out.name, call.name);
    copy_text(out.phase, call.phase);
    peers_[r].progress = now;
  }
}

bool Exchange::is_sent(int rank) const {
  return rank == mesh_.rank_ ||
         peers_[size_t(rank)].sent == sizeof(FrameHeader) + parts_[size_t(rank)].send_bytes;
}

bool Exchange::is_received(int rank) const {
  return rank == mesh_.rank_ ||
         peers_[size_t(rank)].received == sizeof(FrameHeader) + parts_[size_t(rank)].receive_bytes;
}

void Exchange::run() {
  for (;;) {
    bool is_done = true, has_moved = false;
    for (int r = 0; r < mesh_.world_size(); ++r) {
      if (!is_sent(r)) has_moved |= send_some(r);
      if (!is_received(r)) has_moved |= receive_some(r);
      is_done = is_done && is_sent(r) && is_received(r);
    }
    if (is_done) return;
    if (!has_moved) wait();
  }
}

bool Exchange::send_some(int rank) {
  Peer& peer = peers_[size_t(rank)];
  const Part& part = parts_[size_t(rank)];
  const int socket = mesh_.links_[size_t(rank)].data.get();
  ssize_t n = 0;
  if (peer.sent < sizeof peer.out) {
    const int more = part.send_bytes > 0 ? MSG_MORE : 0;
    n = ::send(socket, reinterpret_cast<const char*>(&peer.out) + peer.sent, sizeof peer.out - peer.sent,
               MSG_NOSIGNAL | more);
  } else {
    const uint64_t done = peer.sent - sizeof peer.out;
    n = ::send(socket, static_cast<const char*>(part.send) + done,
               std::min(part.send_bytes - done, kTurnBytes), MSG_NOSIGNAL);
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) blame_ended(rank);
  peer.sent += uint64_t(n);
  peer.progress = monotonic_seconds();
  return true;
}

bool Exchange::receive_some(int rank) {
  Peer& peer = peers_[size_t(rank)];
  const Part& part = parts_[size_t(rank)];
  const int socket = mesh_.links_[size_t(rank)].data.get();
  ssize_t n = 0;
  if (peer.received < sizeof peer.in) {
    n = ::recv(socket, reinterpret_cast<char*>(&peer.in) + peer.received, sizeof peer.in - peer.received, 0);
  } else {
    const uint64_t done = peer.received - sizeof peer.in;
    n = ::recv(socket, static_cast<char*>(part.receive) + done,
               std::min(part.receive_bytes - done, kTurnBytes), 0);
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) blame_ended(rank);
  peer.received += uint64_t(n);
  peer.progress = monotonic_seconds();
  if (peer.received == sizeof peer.in) check_header(rank);
  return true;
}

void Exchange::check_header(int rank) {
  const Peer& peer = peers_[size_t(rank)];
  Link& link = mesh_.links_[size_t(rank)];
  link.last_phase = text_of(peer.in.phase);
  link.last_seen = peer.progress;
  const bool same = peer.in.magic == kFrameMagic && peer.in.sequence == peer.out.sequence &&
                    peer.in.call_bytes == peer.out.call_bytes && peer.in.detail == peer.out.detail &&
                    text_of(peer.in.name) == text_of(peer.out.name) &&
                    text_of(peer.in.phase) == text_of(peer.out.phase);
  if (same && peer.in.payload_bytes == parts_[size_t(rank)].receive_bytes) return;
  // A rank that was given up may have continued.
  mesh_.read_notices(0, -1);
  mesh_.throw_if_failed();
  mesh_.give_up(
      fmt::format("the ranks do not make the same calls: rank {} is at {}; rank {} is at {}. Do they run the "
                  "same program with the same run file?",
                  mesh_.rank_, describe(peer.out), rank, describe(peer.in)),
      -1, ExitCode::kInternal);
}

void Exchange::wait() {
  std::vector<pollfd> entries;
  {
    const std::scoped_lock lock(mesh_.control_mutex_);
    entries = awaited();
  }
  // Wakes up a few times within the time-out, to find silent ranks.
  const int step = int(std::clamp(mesh_.timeout_seconds_ * 1000 / 20, 5.0, 1000.0));
  ::poll(entries.data(), nfds_t(entries.size()), step);
  mesh_.read_notices(0, -1);
  mesh_.throw_if_failed();
  check_silence();
}

std::vector<pollfd> Exchange::awaited() const {
  std::vector<pollfd> entries;
  for (int r = 0; r < mesh_.world_size(); ++r) {
    const Link& link = mesh_.links_[size_t(r)];
    short events = 0;
    if (!is_received(r)) events |= POLLIN;
    if (!is_sent(r)) events |= POLLOUT;
    if (events != 0) entries.push_back({link.data.get(), events, 0});
    if (r != mesh_.rank_ && !link.has_ended) entries.push_back({link.control.get(), POLLIN, 0});
  }
  return entries;
}

void Exchange::check_silence() {
  const double now = monotonic_seconds();
  std::vector<std::string> silent;
  int first = -1;
  bool is_over = false;
  for (int r = 0; r < mesh_.world_size(); ++r) {
    if (is_sent(r) && is_received(r)) continue;
    const double idle = now - peers_[size_t(r)].progress;
    is_over = is_over || idle > mesh_.timeout_seconds_;
    if (idle < 0.8 * mesh_.timeout_seconds_) continue;  // slow, but active
    if (first < 0) first = r;
    silent.push_back(fmt::format("rank {} ({})", r, last_seen(r)));
  }
  if (!is_over) return;
  mesh_.give_up(fmt::format("no sign for {:.4g} s of {}, while rank {} waits in \"{}\". Check the silent "
                            "rank (its log, the disk, the GPU); if it is only slow, raise "
                            "PIXART_DIST_TIMEOUT (seconds).",
                            mesh_.timeout_seconds_, name_some(silent), mesh_.rank_, call_.phase),
                first);
}

void Exchange::blame_ended(int rank) {
  mesh_.read_notices(kNoticeMilliseconds, rank);  // it may have sent the cause
  mesh_.throw_if_failed();
  // Or it ended because of another rank, whose notice to this one is still on its way.
  constexpr int kLooks = 20, kBetweenLooks = 10;  // milliseconds
  for (int look = 0; look < kLooks; ++look) {
    ::poll(nullptr, 0, kBetweenLooks);
    mesh_.read_notices(0, -1);
    mesh_.throw_if_failed();
  }
  mesh_.give_up(
      fmt::format("rank {} has ended ({}), while rank {} waited for it in \"{}\". Its own log says why.",
                  rank, last_seen(rank), mesh_.rank_, call_.phase),
      rank);
}

std::string Exchange::last_seen(int rank) const {
  const Link& link = mesh_.links_[size_t(rank)];
  if (link.last_phase.empty()) return "not seen since the start";
  return fmt::format("last seen in \"{}\", {:.1f} s ago", link.last_phase,
                     monotonic_seconds() - link.last_seen);
}

}  // namespace pixart::distributed
