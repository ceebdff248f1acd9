// A server of files on this machine that answers requests for ranges, also badly where a test says so.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "chat_server.h"

namespace pixart::testing {

class FileServer {
 public:
  // Changes the good answer to the request with this number, counted from 1.
  using Spoil = std::function<void(int number, const ChatRequest& request, ChatReply& reply)>;

  void put(const std::string& name, const std::string& content, const std::string& etag = "\"one\"") {
    const std::scoped_lock lock(mutex_);
    files_[name] = {content, etag};
  }
  void spoil(Spoil spoil) {
    const std::scoped_lock lock(mutex_);
    spoil_ = std::move(spoil), spoiled_ = 0;
  }
  std::string address(const std::string& name) const {
    return "http://127.0.0.1:" + std::to_string(server_.port()) + "/" + name;
  }
  int num_requests() const { return server_.num_requests(); }
  std::vector<std::string> ranges() const {  // of the requests, "bytes=0-0"
    std::vector<std::string> all;
    for (const auto& request : server_.requests()) all.push_back(request.range);
    return all;
  }

 private:
  struct File {
    std::string content, etag;
  };

  ChatReply answer(const ChatRequest& request) {
    const std::scoped_lock lock(mutex_);
    ChatReply reply = good_answer(request);
    if (spoil_) spoil_(++spoiled_, request, reply);
    return reply;
  }

  ChatReply good_answer(const ChatRequest& request) const {
    const auto found = files_.find(request.path.substr(1, request.path.find('?') - 1));
    if (found == files_.end()) return {.status = 404, .body = "not here"};
    const auto& [content, etag] = found->second;
    const size_t dash = request.range.find('-');
    if (dash == std::string::npos) return {.status = 200, .body = content};
    const size_t first = std::stoul(request.range.substr(6)),
                 last = std::stoul(request.range.substr(dash + 1));
    if (first >= content.size())
      return {
          .status = 416, .body = "", .headers = {"Content-Range: bytes */" + std::to_string(content.size())}};
    const std::string part = content.substr(first, last - first + 1);
    ChatReply reply{.status = 206, .body = part};
    reply.headers = {"Content-Range: bytes " + std::to_string(first) + "-" +
                     std::to_string(first + part.size() - 1) + "/" + std::to_string(content.size())};
    if (!etag.empty()) reply.headers.push_back("ETag: " + etag);
    return reply;
  }

  std::mutex mutex_;
  std::map<std::string, File> files_;
  Spoil spoil_;
  int spoiled_ = 0;
  ChatServer server_{[this](const ChatRequest& request) { return answer(request); }};
};

}  // namespace pixart::testing
