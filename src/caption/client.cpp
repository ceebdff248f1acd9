#include "pixart/caption/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>
#include <list>
#include <random>

#include "pixart/base/env.h"
#include "pixart/base/log.h"

namespace pixart::caption {

namespace {

constexpr size_t kLargestBody = size_t{8} << 20;
constexpr double kLongestRetryAfter = 600;
constexpr int kMostSilentRequests = 3;  // in a row, each after all its attempts

struct Transfer {
  Request request;
  int64_t attempts = 0;
  double due = 0;  // not sent before
  CURL* easy = nullptr;
  std::string body = {}, retry_after = {};
  bool is_too_large = false;
};

size_t take_body(char* bytes, size_t size, size_t count, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  if (transfer.body.size() + size * count > kLargestBody) {
    transfer.is_too_large = true;
    return 0;
  }
  transfer.body.append(bytes, size * count);
  return size * count;
}

size_t take_header(char* bytes, size_t size, size_t count, void* to) {
  constexpr std::string_view kName = "retry-after:";
  std::string line(bytes, size * count);
  std::string lower = line.substr(0, kName.size());
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  if (lower == kName) static_cast<Transfer*>(to)->retry_after = line.substr(kName.size());
  return size * count;
}

class Client {
 public:
  Client(const ClientOptions& options, const ClientCalls& calls)
      : options_(options), calls_(calls), multi_(curl_multi_init()) {
    PIXART_CHECK(multi_ != nullptr, "curl_multi_init");
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Expect:");  // no extra round trip for large bodies
    if (!options_.key.empty())
      headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + options_.key).c_str());
  }
  ~Client() {
    for (auto& transfer : transfers_) release(transfer);
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void run() {
    while (!calls_.stop()) {
      start_what_is_due();
      if (transfers_.empty() && is_exhausted_) return;
      int running = 0;
      curl_multi_perform(multi_, &running);
      take_finished();
      constexpr int kLongestWait = 50;  // ms; also how often `stop` is asked
      curl_multi_poll(multi_, nullptr, 0, kLongestWait, nullptr);
    }
  }

 private:
  void release(Transfer& transfer) {
    if (transfer.easy == nullptr) return;
    curl_multi_remove_handle(multi_, transfer.easy);
    curl_easy_cleanup(transfer.easy);
    transfer.easy = nullptr;
  }

  int64_t num_in_flight() const {
    return std::count_if(transfers_.begin(), transfers_.end(),
                         [](const auto& t) { return t.easy != nullptr; });
  }

  void start_what_is_due() {
    const double now = monotonic_seconds();
    int64_t in_flight = num_in_flight();
    for (auto& transfer : transfers_) {
      if (in_flight >= options_.in_flight || now < resume_at_) return;
      if (transfer.easy != nullptr || transfer.due > now) continue;
      start(transfer);
      ++in_flight;
    }
    // Requests that wait for their retry count: else a slow endpoint would pile them up.
    while (!is_exhausted_ && int64_t(transfers_.size()) < options_.in_flight && now >= resume_at_) {
      auto request = calls_.next();
      if (!request) {
        is_exhausted_ = true;
        return;
      }
      transfers_.push_back({.request = std::move(*request)});
      start(transfers_.back());
    }
  }

  void start(Transfer& transfer) {
    ++transfer.attempts;
    transfer.body.clear();
    transfer.retry_after.clear();
    CURL* easy = transfer.easy = curl_easy_init();
    PIXART_CHECK(easy != nullptr, "curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_URL, options_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);  // the key is for this host alone
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(transfer.request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, long(options_.timeout_seconds * 1000));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, long(options_.connect_seconds * 1000));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_multi_add_handle(multi_, easy);
  }

  void take_finished() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      Reply reply{
          .status = 0, .body = std::move(transfer->body), .fault = {}, .attempts = transfer->attempts};
      const CURLcode code = message->data.result;
      if (code == CURLE_OK)
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &reply.status);
      else
        reply.fault = transfer->is_too_large ? "the answer is larger than 8 MiB" : curl_easy_strerror(code);
      release(*transfer);
      finish(*transfer, reply);
    }
  }

  void finish(Transfer& transfer, const Reply& reply) {
    refuse_for_all(reply);
    const bool may_retry = transfer.attempts <= options_.retries;
    const bool failed = reply.status == 0 || reply.status == 408 || reply.status == 425 ||
                        reply.status == 429 || reply.status >= 500;
    if (failed && may_retry) return retry(transfer, reply);
    silent_ = reply.status == 0 ? silent_ + 1 : 0;
    if (silent_ >= kMostSilentRequests)
      throw UserError(
          fmt::format("{} gives no answer: {}. Is the server running, and is the address right? What was "
                      "captioned is kept; the same command continues.",
                      options_.url, reply.fault));
    if (calls_.done(transfer.request.number, reply) && may_retry) {
      transfer.due = monotonic_seconds();
      return;
    }
    transfers_.remove_if([&](const Transfer& other) { return &other == &transfer; });
  }

  void refuse_for_all(const Reply& reply) const {
    const char* advice = nullptr;
    if (reply.status == 401 || reply.status == 403) advice = "check the key (--key-env names its variable)";
    if (reply.status == 404) advice = "check --endpoint (it ends before /chat/completions) and --model";
    if (reply.status >= 300 && reply.status < 400)
      advice = "it redirects elsewhere, which is not followed: name the final address";
    if (advice == nullptr) return;
    throw UserError(fmt::format("{} answers with HTTP {}: {}.", options_.url, reply.status, advice));
  }

  void retry(Transfer& transfer, const Reply& reply) {
    const double now = monotonic_seconds();
    const double pause = std::min(
        options_.longest_pause_seconds,
        options_.first_pause_seconds * double(int64_t{1} << std::min<int64_t>(transfer.attempts - 1, 20)));
    transfer.due = now + pause * std::uniform_real_distribution<double>(0.5, 1.5)(jitter_);
    const auto asked = retry_after_seconds(transfer.retry_after, int64_t(std::time(nullptr)));
    if (asked && (reply.status == 429 || reply.status == 503)) {
      resume_at_ = std::max(resume_at_, now + std::min(*asked, kLongestRetryAfter));
      transfer.due = std::max(transfer.due, resume_at_);
    }
    log::debug("request {}: attempt {} failed: {}", transfer.request.number, transfer.attempts,
               reply.status == 0 ? reply.fault : fmt::format("HTTP {}", reply.status));
  }

  const ClientOptions& options_;
  const ClientCalls& calls_;
  CURLM* multi_;
  curl_slist* headers_ = nullptr;
  std::list<Transfer> transfers_;  // in flight, or waiting for their retry
  bool is_exhausted_ = false;
  double resume_at_ = 0;  // the endpoint asked for a pause
  int silent_ = 0;
  std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace

void send_all(const ClientOptions& options, const ClientCalls& calls) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  PIXART_CHECK(ready == CURLE_OK, "curl_global_init");
  Client(options, calls).run();
}

std::optional<double> retry_after_seconds(const std::string& header, int64_t now_unix_seconds) {
  const size_t first = header.find_first_not_of(" \t");
  if (first == std::string::npos) return std::nullopt;
  const std::string text = header.substr(first, header.find_last_not_of(" \t\r\n") + 1 - first);
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size())
    return seconds >= 0 ? std::optional(double(seconds)) : std::nullopt;
  const time_t date = curl_getdate(text.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::max(0.0, double(date - now_unix_seconds));
}

}  // namespace pixart::caption
