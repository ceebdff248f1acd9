#include "pixart/study/serve.h"

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <fstream>
#include <set>

#include "page.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"
#include "store.h"

namespace pixart::study {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr size_t kLargestBody = size_t{256} << 10;
constexpr size_t kMostLines = 1000;
constexpr size_t kLargestHeader = size_t{32} << 10;  // with the line that names the page
constexpr size_t kThreads = 64;
constexpr std::chrono::seconds kTimeToAsk{10};   // from the accepted connection to the end of its request
constexpr std::chrono::seconds kTimeToTake{20};  // for an answer, and a second for each kBytesOfSecond of it
constexpr size_t kBytesOfSecond = size_t{32} << 10;
enum Status {
  kOk = 200,
  kEmpty = 204,
  kMoved = 301,
  kBad = 400,
  kNotFound = 404,
  kNoMethod = 405,
  kNoLength = 411,
  kTooLarge = 413,
  kTooMany = 429,
  kNotStored = 507
};

struct Served {
  PublicPlan plan;
  std::set<std::string> images = {};
  std::string page = {};
  fs::path folder = {};
  std::string collect = {};
};

void reply(httplib::Response& response, int status, const std::string& text,
           const char* type = "text/plain") {
  response.status = status;
  response.set_content(text, type);
}

// For every answer of the server. A page that was opened from a disk has the origin null.
void add_headers(httplib::Response& response) {
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Referrer-Policy", "no-referrer");  // the address holds the secret word
  response.set_header("X-Frame-Options", "DENY");
  response.set_header("Cache-Control", "no-store");
}
void allow_other_origins(httplib::Response& response) {
  response.set_header("Access-Control-Allow-Origin", "*");
  response.set_header("Access-Control-Allow-Methods", "POST");
  response.set_header("Access-Control-Allow-Headers", "Content-Type");
}

// "/s/<word>/<rest>"; the word is "" for any other path.
struct Place {
  std::string word, rest;
  bool has_slash = false;
};
Place place_of(const std::string& path) {
  constexpr std::string_view kStart = "/s/";
  if (!path.starts_with(kStart)) return {};
  const size_t end = path.find('/', kStart.size());
  if (end == std::string::npos) return {path.substr(kStart.size()), "", false};
  return {path.substr(kStart.size(), end - kStart.size()), path.substr(end + 1), true};
}

// What the library would read without a limit is refused before it is read.
std::optional<std::pair<int, std::string>> refusal(const httplib::Request& request) {
  if (!std::ranges::count(std::vector<std::string>{"GET", "HEAD", "POST", "OPTIONS"}, request.method))
    return std::pair{kNoMethod, "no such method"};
  for (const char* header : {"Transfer-Encoding", "Content-Encoding"})
    if (request.has_header(header)) return std::pair{kBad, std::string(header) + " is not taken"};
  const auto lengths = request.get_header_value_count("Content-Length");
  if (lengths > 1) return std::pair{kBad, "several lengths"};
  if (request.method != "POST") return std::nullopt;
  const std::string length = request.get_header_value("Content-Length");
  const bool is_number = !length.empty() && length.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number) return std::pair{kNoLength, "the length is missing"};
  if (length.size() > 9 || std::stoul(length) > kLargestBody) return std::pair{kTooLarge, "too large"};
  return std::nullopt;
}

ordered_json session_of(Store& store, const std::string& person) {
  std::map<int64_t, ordered_json> newest;
  store.each(person, [&](const std::string&, int64_t trial, const std::string& text) {
    auto answer = formats::parse_ordered(text);
    auto& known = newest[trial];
    if (known.is_null() || known.at("seq") <= answer.at("seq")) known = std::move(answer);
  });
  ordered_json answers = ordered_json::array();
  for (const auto& [trial, answer] : newest) answers.push_back({{"trial", trial}, {"answer", answer}});
  return {{"person", person}, {"answers", answers}};
}

void get(const Served& served, Store& store, const httplib::Request& request, httplib::Response& response) {
  if (request.path == "/favicon.ico") return reply(response, kEmpty, "");  // browsers ask by themselves
  const Place place = place_of(request.path);
  const auto person = store.people().find(place.word);
  if (person == store.people().end()) return reply(response, kNotFound, "not found");
  if (!place.has_slash) return response.set_redirect("/s/" + place.word + "/", kMoved);
  constexpr std::string_view kImages = "images/";
  if (place.rest.empty() || place.rest == "index.html") return reply(response, kOk, served.page, "text/html");
  if (place.rest == "session")
    return reply(response, kOk, session_of(store, person->second).dump(), "application/json");
  const std::string image = place.rest.starts_with(kImages) ? place.rest.substr(kImages.size()) : "";
  if (!served.images.contains(image)) return reply(response, kNotFound, "not found");
  reply(response, kOk, read_file(served.folder / "images" / image),
        image.ends_with(".jpg") ? "image/jpeg" : "image/png");
}

// The answers in a body, or what is wrong with the first line that is not one. `person`: the only one who may answer; "":
// anybody.
std::string read_lines(const Served& served, const std::string& body, const std::string& person,
                       std::vector<Answer>& answers) {
  const auto lines = lines_of(body);
  if (lines.size() > kMostLines) return fmt::format("more than {} lines", kMostLines);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (trimmed(lines[i]).empty()) continue;
    auto [answer, fault] = read_answer(lines[i], served.plan.shape);
    if (fault.empty() && !person.empty() && answer.person != person) fault = "it is of another person";
    if (!fault.empty()) return fmt::format("line {}: {}", i + 1, fault);
    answers.push_back(std::move(answer));
  }
  return answers.empty() ? "no answers" : "";
}

void post(const Served& served, Store& store, const httplib::Request& request, httplib::Response& response,
          const std::string& person) {
  allow_other_origins(response);
  std::vector<Answer> answers;
  const auto fault = read_lines(served, request.body, person, answers);
  if (!fault.empty()) return reply(response, kBad, fault);
  try {
    if (!store.put(answers, served.plan.shape)) return reply(response, kTooMany, "too many answers");
    reply(response, kOk, fmt::format("{{\"stored\":{}}}", answers.size()), "application/json");
  } catch (const UserError& error) {
    log::error("answers of {} are not stored: {}", answers.front().person, error.what());
    reply(response, kNotStored, "not stored; try again later");
  }
}

Served read_study(const ServeOptions& options) {
  Served served{
      .plan = read_plan(options.study / "plan.json"), .folder = options.study, .collect = options.collect};
  served.page = read_file(options.study / "index.html", kLargestPlan);
  Problems problems;
  std::error_code error;
  for (const auto& image : served.plan.images)
    if (!fs::is_regular_file(fs::symlink_status(options.study / "images" / image, error)))
      problems.add(fmt::format("images/{} is missing", image));
  const bool is_word =
      std::ranges::all_of(options.collect, [](char c) { return std::isalnum(uint8_t(c)) != 0; });
  constexpr size_t kShortest = 8, kLongest = 64;
  if (!options.collect.empty() &&
      (!is_word || options.collect.size() < kShortest || options.collect.size() > kLongest))
    problems.add(fmt::format("--collect: a word of {} to {} letters and digits", kShortest, kLongest));
  problems.throw_if_any(options.study.string());
  served.images.insert(served.plan.images.begin(), served.plan.images.end());
  return served;
}

void add_routes(httplib::Server& server, const Served& served, Store& store) {
  using Handled = httplib::Server::HandlerResponse;
  server.set_pre_routing_handler([&](const httplib::Request& request, httplib::Response& response) {
    add_headers(response);
    if (const auto refused = refusal(request)) {
      reply(response, refused->first, refused->second);
      return Handled::Handled;
    }
    if (request.method == "POST") return Handled::Unhandled;
    if (request.method == "OPTIONS") {
      allow_other_origins(response);
      reply(response, kOk, "");
    } else {
      get(served, store, request, response);
    }
    return Handled::Handled;
  });
  server.Post(R"(/s/[A-Za-z0-9_-]{22}/answers)",
              [&](const httplib::Request& request, httplib::Response& response) {
                const auto person = store.people().find(place_of(request.path).word);
                if (person == store.people().end()) return reply(response, kNotFound, "not found");
                post(served, store, request, response, person->second);
              });
  if (!served.collect.empty())
    server.Post("/collect/" + served.collect,
                [&](const httplib::Request& request, httplib::Response& response) {
                  post(served, store, request, response, "");
                });
  server.set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (response.body.empty())
      reply(response, response.status == kBad ? kNotFound : response.status, "not found");
  });
  server.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
    reply(response, 500, "error");
  });
}

// --- connections
//
// The library limits the time of a single read, so a connection that sends a byte now and then would keep a thread for
// ever; it keeps any number of header lines; and it makes a copy of the page for each part of a Range. So it reads and
// writes through a Connection, which ends at a time and after a number of bytes.

using Clock = std::chrono::steady_clock;
thread_local Clock::time_point accepted_at;  // of the connection that this thread serves

// The time of a request runs while it waits for a thread: a thread that then takes it reads what has come and waits no
// longer. So nobody waits much longer than kTimeToAsk for connections that keep all threads.
class TimedThreads : public httplib::ThreadPool {
 public:
  using ThreadPool::ThreadPool;
  void enqueue(std::function<void()> serve) override {
    ThreadPool::enqueue([serve = std::move(serve), now = Clock::now()] {
      accepted_at = now;
      serve();
    });
  }
};

class Connection : public httplib::Stream {
 public:
  explicit Connection(int socket) : socket_(socket), ask_until_(accepted_at + kTimeToAsk) {}
  void begin_body() { left_ = kLargestBody; }
  bool is_cut() const { return is_cut_; }

  bool is_readable() const override { return waits_for(POLLIN, ask_until_); }
  bool is_writable() const override {
    return !is_cut_ &&
           waits_for(POLLOUT, take_from_ + kTimeToTake + std::chrono::seconds(written_ / kBytesOfSecond));
  }
  ssize_t read(char* bytes, size_t count) override {
    if (next_ == end_) {
      if (!is_readable()) return cut();
      const ssize_t received = recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (received <= 0) return received;
      next_ = 0, end_ = size_t(received);
    }
    count = std::min({count, end_ - next_, left_});
    if (count == 0) return cut();
    std::memcpy(bytes, buffer_.data() + next_, count);
    next_ += count, left_ -= count;
    return ssize_t(count);
  }
  ssize_t write(const char* bytes, size_t count) override {
    if (take_from_ == Clock::time_point{}) take_from_ = Clock::now();
    if (!is_writable()) return cut();
    const ssize_t sent = send(socket_, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    written_ += size_t(std::max<ssize_t>(sent, 0));
    return sent;
  }
  // The server keeps no addresses of people.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool waits_for(short what, Clock::time_point until) const {
    pollfd waited{.fd = socket_, .events = what, .revents = 0};
    int ready = 0;
    do {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      ready = poll(&waited, 1, std::max(int(left.count()), 0));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
  }
  ssize_t cut() {
    is_cut_ = end_ > 0;  // browsers also open connections that they do not use
    return -1;
  }

  int socket_;
  Clock::time_point ask_until_, take_from_ = {};
  size_t left_ = kLargestHeader, written_ = 0;
  std::array<char, 4096> buffer_ = {};
  size_t next_ = 0, end_ = 0;  // in the buffer
  bool is_cut_ = false;
};

class LimitedServer : public httplib::Server {
 public:
  LimitedServer() {
    new_task_queue = [] { return new TimedThreads(kThreads); };  // the library deletes it
  }

 private:
  // One request: a connection that is kept open for more would keep a thread.
  bool process_and_close_socket(socket_t socket) override {
    Connection connection(socket);
    bool is_closed = false;
    const bool is_answered =
        process_request(connection, /*close_connection=*/true, is_closed, [&](httplib::Request& request) {
          request.ranges.clear();
          connection.begin_body();
        });
    if (connection.is_cut()) tell_of_cut();
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return is_answered;
  }

  // At powers of two, so that an attack does not fill the log.
  void tell_of_cut() {
    const uint64_t number = ++num_cut_;
    if (std::has_single_bit(number))
      log::warning(
          "connections closed so far: {}; a request ends within {} s and has a header of at most {} KiB, and its answer "
          "is taken at {} KiB a second or faster",
          number, kTimeToAsk.count(), kLargestHeader >> 10, kBytesOfSecond >> 10);
  }

  std::atomic<uint64_t> num_cut_ = 0;
};

void limit(httplib::Server& server) {
  server.set_payload_max_length(kLargestBody);
  server.set_tcp_nodelay(true);
  // The library's own choice would let two servers share a port, and each would get some of the answers.
  server.set_socket_options([](auto socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
}

void print_links(const Store& store, const std::string& address) {
  std::map<std::string, std::string> words;
  for (const auto& [word, person] : store.people()) words[person] = word;
  for (const auto& [person, word] : words) print_line("{} {}/s/{}/", person, address, word);
}

void require_own_answers(const fs::path& out) {
  constexpr std::string_view kBegin = "{\"study\":";
  std::error_code error;
  if (!fs::exists(out, error)) return;
  std::string begin(kBegin.size(), '\0');
  std::ifstream file;
  if (fs::is_regular_file(out, error)) file.open(out, std::ios::binary);
  const bool is_read = file.is_open() && (file.read(begin.data(), std::streamsize(begin.size())), true);
  if (is_read && (file.gcount() == 0 || begin == kBegin)) return;
  throw UserError(fmt::format(
      "{} is there and holds no answers of pixart study, so it is not replaced: give another file.",
      out.string()));
}

}  // namespace

void serve_study(const ServeOptions& options) {
  const Served served = read_study(options);
  Store store(options.database, served.plan.shape);
  LimitedServer server;
  limit(server);
  add_routes(server, served, store);
  int port = options.port;
  if (port == 0)
    port = server.bind_to_any_port(options.host);
  else if (!server.bind_to_port(options.host, port))
    port = -1;
  if (port <= 0)
    throw UserError(
        fmt::format("cannot serve at {} port {}: the port is in use or not allowed, or the host is not an "
                    "address of this machine. Give another --port or --host.",
                    options.host, options.port));
  const std::string host = options.host == "0.0.0.0" ? host_name() : options.host;
  const std::string address =
      options.address.empty() ? fmt::format("http://{}:{}", host, port) : options.address;
  print_links(store, address);
  if (!served.collect.empty())
    print_line("pages that were opened from a disk send to {}/collect/{}", address, served.collect);
  flush_printed();
  log::info("serving {} at {}:{}; answers go to {}; Ctrl-C ends it", options.study.string(), options.host,
            port, options.database.string());
  server.listen_after_bind();
}

int64_t export_answers(const fs::path& database, const fs::path& out) {
  require_own_answers(out);
  Store store(database);
  AtomicFile file(out);
  int64_t count = 0;
  store.each("", [&](const std::string& person, int64_t trial, const std::string& text) {
    ordered_json line = {{"study", store.study()}, {"person", person}, {"trial", trial}};
    line.update(formats::parse_ordered(text));
    file.write(line.dump() + "\n");
    ++count;
  });
  file.commit();
  return count;
}

}  // namespace pixart::study
