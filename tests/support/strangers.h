// Connections to a port that no rank makes: silent, slow, garbage, other protocols, closed at once.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace pixart::testing {

class Stranger {
 public:
  // Connects to 127.0.0.1:port and says `words`.
  explicit Stranger(int port, const std::string& words = "")
      : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(uint16_t(port));
    is_connected_ = ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    if (is_connected_) say(words);
  }
  Stranger(Stranger&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), is_connected_(other.is_connected_) {}
  Stranger& operator=(Stranger&&) = delete;
  ~Stranger() { hang_up(); }

  bool is_connected() const { return is_connected_; }
  void say(const std::string& words) const {
    (void)!::send(descriptor_, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void hang_up() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  // Waits until the other side has hung up; false: it has not within `seconds`.
  bool is_dropped(int seconds = 30) const {
    timeval limit{seconds, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char bytes[4096];
    ssize_t n = 0;
    while ((n = ::recv(descriptor_, bytes, sizeof bytes, 0)) > 0) continue;
    return n == 0 || errno == ECONNRESET;
  }

 private:
  int descriptor_;
  bool is_connected_ = false;
};

// What strangers say, of each kind.
inline std::vector<std::string> words_of_strangers() {
  return {
      "",                                          // says nothing
      "GET / HTTP/1.1\r\nHost: somebody\r\n\r\n",  // a browser
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(506, 'r'),  // TLS
      std::string(4096, '\0'),
      std::string(4096, '\xff'),  // as lengths: huge
      "SSH-2.0-OpenSSH_9.2\r\n",
      "5Ix",                                            // the beginning of what a rank says
      std::string("5IxP") + std::string(4, '\0'),       // ... and a little more
      std::string("5IxP") + std::string(4096, '\xff'),  // ... and nonsense
  };
}

}  // namespace pixart::testing
