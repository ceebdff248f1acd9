#include "range_server.h"

#include <fcntl.h>
#include <httplib.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "pixart/base/error.h"

namespace pixart::bench {
namespace fs = std::filesystem;

struct RangeServer::State {
  httplib::Server server;
  int port = 0;
  std::thread thread;
};

namespace {

// Sends these bytes of an open file.
bool send(int file, size_t offset, size_t length, httplib::DataSink& sink) {
  thread_local std::array<char, size_t{256} << 10> buffer;
  while (length > 0) {
    const ssize_t got = ::pread(file, buffer.data(), std::min(length, buffer.size()), off_t(offset));
    if (got <= 0 || !sink.write(buffer.data(), size_t(got))) return false;
    offset += size_t(got), length -= size_t(got);
  }
  return true;
}

void answer(const fs::path& folder, const httplib::Request& request, httplib::Response& response) {
  const fs::path file = folder / fs::path(request.path).filename();
  std::error_code error;
  const auto bytes = fs::file_size(file, error);
  const int descriptor = error ? -1 : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    response.status = 404;
    return;
  }
  response.set_header("ETag", fmt::format("\"{}\"", bytes));
  response.set_content_provider(
      bytes, "application/x-tar",
      [descriptor](size_t offset, size_t length, httplib::DataSink& sink) {
        return send(descriptor, offset, length, sink);
      },
      [descriptor](bool) { ::close(descriptor); });
}

}  // namespace

RangeServer::RangeServer(const fs::path& folder) : state_(std::make_unique<State>()) {
  constexpr size_t kManyRequests = size_t{1} << 30;
  auto& server = state_->server;
  server.set_keep_alive_max_count(kManyRequests);
  server.set_tcp_nodelay(true);
  server.Get("/.*", [folder](const auto& request, auto& response) { answer(folder, request, response); });
  state_->port = server.bind_to_any_port("127.0.0.1");
  PIXART_CHECK(state_->port > 0, "no port on 127.0.0.1");
  state_->thread = std::thread([&server] { server.listen_after_bind(); });
}

RangeServer::~RangeServer() {
  state_->server.stop();
  state_->thread.join();
}

int RangeServer::port() const { return state_->port; }

}  // namespace pixart::bench
