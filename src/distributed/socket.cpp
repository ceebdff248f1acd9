#include "socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

constexpr double kRetrySeconds = 0.05;

[[noreturn]] void fail(const std::string& message) { throw UserError(message, ExitCode::kDevice); }

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// Resolves a name; returns nothing and a reason if it is unknown.
AddressList resolve(const Address& address, std::string& reason) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (code != 0) reason = ::gai_strerror(code);
  return {code == 0 ? found : nullptr, &::freeaddrinfo};
}

bool wait_for(int descriptor, short events, double deadline) {
  for (;;) {
    const double left = deadline - monotonic_seconds();
    pollfd entry{descriptor, events, 0};
    const int ready = ::poll(&entry, 1, left <= 0 ? 0 : int(std::min(left * 1000, 1e6)) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (left <= 0) return false;
  }
}

void prepare(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// A port of the loopback where nobody listens may be given to the connecting socket itself.
bool is_connected_to_itself(const Socket& socket) {
  sockaddr_storage own{}, other{};
  socklen_t own_size = sizeof own, other_size = sizeof other;
  return ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&other), &other_size) == 0 &&
         own_size == other_size && std::memcmp(&own, &other, own_size) == 0;
}

// Until the connection is made or has failed; false after the deadline, or on a request to stop.
bool wait_or_stop(int descriptor, double deadline) {
  constexpr double kLookSeconds = 0.2;
  for (;;) {
    const double now = monotonic_seconds();
    if (wait_for(descriptor, POLLOUT, std::min(deadline, now + kLookSeconds))) return true;
    if (now >= deadline || stop_requested()) return false;
  }
}

// Makes one attempt at one address; returns a closed socket, with errno set, if it fails.
Socket try_connect(const addrinfo& to, double deadline) {
  Socket socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return {};
  if (::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0 && errno != EINPROGRESS) return {};
  if (!wait_or_stop(socket.get(), std::min(deadline, monotonic_seconds() + 5))) {
    errno = ETIMEDOUT;
    return {};
  }
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  errno = problem != 0 ? problem : ECONNREFUSED;
  if (problem != 0 || is_connected_to_itself(socket)) return {};
  prepare(socket.get());
  return socket;
}

}  // namespace

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string to_string(const Address& address) { return fmt::format("{}:{}", address.host, address.port); }

bool is_loopback(const std::string& numeric_address) {
  return numeric_address.starts_with("127.") || numeric_address == "::1";
}

int port_of(int descriptor) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &size) != 0) return 0;
  if (own.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&own)->sin_port);
  return own.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6*>(&own)->sin6_port) : 0;
}

std::pair<Socket, int> listen_on(const std::string& numeric_address, int port) {
  std::string reason;
  if (const auto list = resolve({numeric_address, port}, reason)) {
    Socket socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;  // connections of a run before this one may still be in the kernel's list
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (socket.is_open() && ::bind(socket.get(), list->ai_addr, list->ai_addrlen) == 0 &&
        ::listen(socket.get(), SOMAXCONN) == 0) {
      const int found = port_of(socket.get());
      return {std::move(socket), found};
    }
    reason = std::strerror(errno);
  }
  fail(fmt::format("cannot listen on {}: {}",
                   port > 0 ? to_string(Address{numeric_address, port}) : numeric_address, reason));
}

Socket connect_until(const Address& address, double deadline, const std::string& what_for) {
  std::string reason;
  for (;;) {
    const auto list = resolve(address, reason);
    for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
      if (auto socket = try_connect(*at, deadline); socket.is_open()) return socket;
      reason = std::strerror(errno);
    }
    if (stop_requested())
      throw UserError("stopped on request while connecting to " + what_for, ExitCode::kRequeue);
    if (monotonic_seconds() >= deadline)
      fail(fmt::format("cannot connect to {} at {}: {}", what_for, to_string(address), reason));
    ::poll(nullptr, 0, int(kRetrySeconds * 1000));
  }
}

Socket accept_now(const Socket& listener) {
  Socket socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.is_open()) prepare(socket.get());
  return socket;
}

bool wait_to_read(const Socket& socket, double deadline) { return wait_for(socket.get(), POLLIN, deadline); }

namespace {

bool transfer_until(int descriptor, short events, size_t size, double deadline,
                    const std::function<ssize_t(size_t done)>& transfer) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = transfer(done);
    if (n > 0) {
      done += size_t(n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(descriptor, events, deadline)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool read_until(const Socket& socket, void* bytes, size_t size, double deadline) {
  return transfer_until(socket.get(), POLLIN, size, deadline, [&](size_t done) {
    return ::recv(socket.get(), static_cast<char*>(bytes) + done, size - done, 0);
  });
}

bool write_until(const Socket& socket, const void* bytes, size_t size, double deadline) {
  return transfer_until(socket.get(), POLLOUT, size, deadline, [&](size_t done) {
    return ::send(socket.get(), static_cast<const char*>(bytes) + done, size - done, MSG_NOSIGNAL);
  });
}

}  // namespace pixart::distributed
