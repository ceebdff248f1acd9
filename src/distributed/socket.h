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

bool is_loopback(const std::string& numeric_address);

// Listens on `numeric_address` only, and returns the port. 0: the system chooses it.
std::pair<Socket, int> listen_on(const std::string& numeric_address, int port = 0);

int port_of(int descriptor);  // where the socket listens; 0: it is not an internet socket

// Connects, with repeated attempts until the deadline (monotonic_seconds). Throws UserError(kRequeue) when
// asked to stop.
Socket connect_until(const Address& address, double deadline, const std::string& what_for);

// The next connection that has arrived; a closed socket, with errno set, if there is none.
Socket accept_now(const Socket& listener);

bool wait_to_read(const Socket& socket, double deadline);  // true: data, or the end, can be read

// Transfers all bytes by the deadline, with a non-blocking socket; false: the socket has ended or the time is
// over.
bool read_until(const Socket& socket, void* bytes, size_t size, double deadline);
bool write_until(const Socket& socket, const void* bytes, size_t size, double deadline);

}  // namespace pixart::distributed
