// A small HTTP/1.1 server on this machine that answers as the test says, also badly.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace pixart::testing {

struct ChatRequest {
  std::string path, authorization, body;
  int attempt = 1;         // how often this body has come
  std::string range = {};  // "bytes=0-99"
};

struct ChatReply {
  enum class Manner {
    kWhole,
    kHalf,   // closes after half of the body
    kHang,   // says nothing until the other side gives up
    kDrip,   // a byte now and then, for ever
    kReset,  // closes the connection hard, without an answer
  };
  int status = 200;
  std::string body;
  std::vector<std::string> headers = {};  // "Retry-After: 1"
  Manner manner = Manner::kWhole;
};

// An answer of the chat interface.
std::string chat_answer(const std::string& text, const std::string& finish_reason = "stop");

// A text that is a function of the image and prompt alone.
std::string caption_of(const ChatRequest& request);

// A thread per connection; `answer` is called from several threads.
class ChatServer {
 public:
  using Answer = std::function<ChatReply(const ChatRequest&)>;
  explicit ChatServer(Answer answer);
  ~ChatServer();
  ChatServer(const ChatServer&) = delete;
  ChatServer& operator=(const ChatServer&) = delete;

  int port() const { return port_; }
  std::string endpoint() const { return "http://localhost:" + std::to_string(port_) + "/v1"; }
  std::vector<ChatRequest> requests() const;  // so far
  int num_requests() const;
  // Waits until so many have come; false: they did not within the time.
  bool wait_for_requests(int count, double seconds) const;
  int most_at_once() const;  // requests that were in work

 private:
  void accept_all();
  void serve(int connection);
  bool serve_one(int connection, std::string& received);
  bool send(int connection, const ChatReply& reply) const;

  const Answer answer_;
  int listener_ = -1, port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable has_come_;
  int at_once_ = 0, most_at_once_ = 0;
  std::map<std::string, int> attempts_;
  std::vector<ChatRequest> requests_;
  std::set<int> connections_;
  std::vector<std::thread> threads_;
  bool is_closing_ = false;
  std::thread acceptor_;
};

}  // namespace pixart::testing
