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
AddressList resolve(const Address& address, int socket_type, std::string& reason) {
  addrinfo hints{};
  hints.ai_socktype = socket_type;
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

// Makes one attempt at one address; returns a closed socket, with errno set, if it fails.
Socket try_connect(const addrinfo& to, double deadline) {
  Socket socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return {};
  if (::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0 && errno != EINPROGRESS) return {};
  if (!wait_for(socket.get(), POLLOUT, std::min(deadline, monotonic_seconds() + 5))) {
    errno = ETIMEDOUT;
    return {};
  }
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  errno = problem;
  if (problem != 0) return {};
  prepare(socket.get());
  return socket;
}

std::string numeric(const sockaddr_storage& storage, socklen_t size) {
  char host[NI_MAXHOST] = {};
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&storage), size, host, sizeof host, nullptr, 0,
                NI_NUMERICHOST);
  return host;
}

}  // namespace

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string to_string(const Address& address) { return fmt::format("{}:{}", address.host, address.port); }

std::string local_address_towards(const Address& target) {
  std::string reason;
  const auto list = resolve(target, SOCK_DGRAM, reason);
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    // "Connecting" a UDP socket sends nothing; it only chooses the route.
    const Socket socket(::socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (socket.is_open() && ::connect(socket.get(), at->ai_addr, at->ai_addrlen) == 0 &&
        ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0)
      return numeric(own, size);
    reason = std::strerror(errno);
  }
  fail(fmt::format("MASTER_ADDR '{}': {}", target.host, reason));
}

bool is_loopback(const std::string& numeric_address) {
  return numeric_address.starts_with("127.") || numeric_address == "::1";
}

std::pair<Socket, int> listen_on(const std::string& numeric_address, bool any) {
  std::string reason;
  const auto list = resolve({numeric_address, 0}, SOCK_STREAM, reason);
  if (list) {
    if (any && list->ai_family == AF_INET)
      reinterpret_cast<sockaddr_in*>(list->ai_addr)->sin_addr.s_addr = INADDR_ANY;
    if (any && list->ai_family == AF_INET6)
      reinterpret_cast<sockaddr_in6*>(list->ai_addr)->sin6_addr = in6addr_any;
    Socket socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (socket.is_open() && ::bind(socket.get(), list->ai_addr, list->ai_addrlen) == 0 &&
        ::listen(socket.get(), SOMAXCONN) == 0 &&
        ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0) {
      const auto port = own.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&own)->sin_port
                                                 : reinterpret_cast<sockaddr_in6*>(&own)->sin6_port;
      return {std::move(socket), int(ntohs(port))};
    }
    reason = std::strerror(errno);
  }
  fail(fmt::format("cannot listen on {}: {}", numeric_address, reason));
}

Socket connect_until(const Address& address, double deadline, const std::string& what_for) {
  std::string reason;
  for (;;) {
    const auto list = resolve(address, SOCK_STREAM, reason);
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

Socket accept_until(const Socket& listener, double deadline) {
  while (wait_for(listener.get(), POLLIN, deadline)) {
    Socket socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.is_open()) continue;
    prepare(socket.get());
    return socket;
  }
  return {};
}

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
