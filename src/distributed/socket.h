// TCP sockets with deadlines. Failures are UserErrors(kDevice) with the address and the system's reason.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

namespace pixart::distributed {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket();
  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  void close() { *this = Socket(); }

 private:
  int descriptor_ = -1;
};

struct Address {
  std::string host;
  int port = 0;
};

std::string to_string(const Address& address);  // "10.0.0.1:29500"

// This machine's own numeric address on the route to `target`.
std::string local_address_towards(const Address& target);
bool is_loopback(const std::string& numeric_address);

// Listens on a port that the system chooses, on `numeric_address` only or (any = true) on all addresses of
// its family.
std::pair<Socket, int> listen_on(const std::string& numeric_address, bool any);

// Connects, with repeated attempts until the deadline (monotonic_seconds). Throws UserError(kRequeue) when
// asked to stop.
Socket connect_until(const Address& address, double deadline, const std::string& what_for);

// Waits for the next connection, or returns a closed socket at the deadline.
Socket accept_until(const Socket& listener, double deadline);

// Transfers all bytes by the deadline, with a non-blocking socket; false: the socket has ended or the time is
// over.
bool read_until(const Socket& socket, void* bytes, size_t size, double deadline);
bool write_until(const Socket& socket, const void* bytes, size_t size, double deadline);

}  // namespace pixart::distributed
