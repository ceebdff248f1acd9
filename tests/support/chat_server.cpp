#include "chat_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <stdexcept>

#include "pixart/formats/hash.h"

namespace pixart::testing {

namespace {

bool send_text(int connection, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t n = ::send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += size_t(n);
  }
  return true;
}

// Whether the other side closes within the time.
bool waits_for_close(int connection, int milliseconds) {
  pollfd wanted{connection, POLLIN, 0};
  char ignored;
  return ::poll(&wanted, 1, milliseconds) > 0 && ::recv(connection, &ignored, 1, 0) <= 0;
}

std::string header_of(const std::string& head, const std::string& name) {
  std::string lower = head;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const size_t at = lower.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

}  // namespace

std::string chat_answer(const std::string& text, const std::string& finish_reason) {
  return R"({"model": "eyes-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": ")" +
         text + R"("}, "finish_reason": ")" + finish_reason +
         R"("}], "usage": {"prompt_tokens": 7, "completion_tokens": 11}})";
}

std::string caption_of(const ChatRequest& request) {
  return "An image of " + formats::sha256(request.body).substr(0, 16) + ", in a plain style.";
}

ChatServer::ChatServer(Answer answer) : answer_(std::move(answer)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  constexpr int kBacklog = 128;
  if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, kBacklog) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no server socket");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

ChatServer::~ChatServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::scoped_lock lock(mutex_);
    is_closing_ = true;
    for (const int connection : connections_) ::shutdown(connection, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
}

std::vector<ChatRequest> ChatServer::requests() const {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

int ChatServer::num_requests() const {
  const std::scoped_lock lock(mutex_);
  return int(requests_.size());
}

bool ChatServer::wait_for_requests(int count, double seconds) const {
  std::unique_lock lock(mutex_);
  return has_come_.wait_for(lock, std::chrono::duration<double>(seconds),
                            [&] { return int(requests_.size()) >= count; });
}

int ChatServer::most_at_once() const {
  const std::scoped_lock lock(mutex_);
  return most_at_once_;
}

void ChatServer::accept_all() {
  for (;;) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    const std::scoped_lock lock(mutex_);
    connections_.insert(connection);
    threads_.emplace_back([this, connection] { serve(connection); });
  }
}

void ChatServer::serve(int connection) {
  std::string received;
  while (serve_one(connection, received)) {
  }
  const std::scoped_lock lock(mutex_);
  connections_.erase(connection);
  ::close(connection);
}

// False: the connection ends.
bool ChatServer::serve_one(int connection, std::string& received) {
  const auto receive = [&] {
    char buffer[1 << 16];
    const ssize_t n = ::recv(connection, buffer, sizeof buffer, 0);
    if (n > 0) received.append(buffer, size_t(n));
    return n > 0;
  };
  size_t end = 0;
  while ((end = received.find("\r\n\r\n")) == std::string::npos)
    if (!receive()) return false;
  const std::string head = received.substr(0, end + 2);
  const std::string length = header_of(head, "content-length");
  const size_t size = end + 4 + (length.empty() ? 0 : std::stoul(length));
  while (received.size() < size)
    if (!receive()) return false;
  const size_t path = head.find(' ') + 1;
  ChatRequest request{.path = head.substr(path, head.find(' ', path) - path),
                      .authorization = header_of(head, "authorization"),
                      .body = received.substr(end + 4, size - end - 4),
                      .range = header_of(head, "range")};
  received.erase(0, size);
  {
    const std::scoped_lock lock(mutex_);
    if (is_closing_) return false;
    request.attempt = ++attempts_[request.body];
    requests_.push_back(request);
    most_at_once_ = std::max(most_at_once_, ++at_once_);
  }
  has_come_.notify_all();
  const ChatReply reply = answer_(request);
  {
    const std::scoped_lock lock(mutex_);
    --at_once_;
  }
  return send(connection, reply);
}

bool ChatServer::send(int connection, const ChatReply& reply) const {
  constexpr int kForEver = -1, kBetweenBytes = 5;  // ms
  using Manner = ChatReply::Manner;
  if (reply.manner == Manner::kHang) {
    waits_for_close(connection, kForEver);
    return false;
  }
  if (reply.manner == Manner::kReset) {
    const linger hard{1, 0};
    ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
  }
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Test\r\n";
  for (const auto& header : reply.headers) head += header + "\r\n";
  if (reply.manner == Manner::kDrip) {
    if (!send_text(connection, head + "Content-Length: 1000000\r\n\r\n")) return false;
    while (!waits_for_close(connection, kBetweenBytes) && send_text(connection, " ")) {
    }
    return false;
  }
  head += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n\r\n";
  const bool is_half = reply.manner == Manner::kHalf;
  return send_text(connection, head + (is_half ? reply.body.substr(0, reply.body.size() / 2) : reply.body)) &&
         !is_half;
}

}  // namespace pixart::testing
