#include "pixart/caption/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <random>

#include "endpoint.h"
#include "error_body.h"
#include "message_text.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/data/retry_after.h"
#include "secret.h"

namespace pixart::caption {

namespace {

constexpr size_t kLargestBody = size_t{8} << 20;

struct Transfer {
  Request request = {};
  int64_t attempts = 0;
  double due = 0;  // not sent before this time
  CURL* easy = nullptr;
  std::string body = {}, retry_after = {}, date = {};
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
  auto& transfer = *static_cast<Transfer*>(to);
  const std::string line(bytes, size * count);
  if (const size_t colon = line.find(':'); colon != std::string::npos) {
    const std::string name = ascii_lower(line.substr(0, colon));
    if (name == "retry-after") transfer.retry_after = trimmed(line.substr(colon + 1));
    if (name == "date") transfer.date = trimmed(line.substr(colon + 1));
  }
  return size * count;
}

// What is wrong with all requests, and what to do; nullptr for other answers.
const char* advice_for(long status) {
  switch (status) {
    case 401:
    case 403:
      return "Check the key; --key-env names the environment variable that holds it.";
    case 402:
      return "The credits of the account are used up. All answers so far are kept; after topping up, the "
             "same command continues.";
    case 404:
    case 405:
    case 410:
      return "Check --endpoint (up to /v1) and --model.";
    case 407:
      return "The proxy demands a login; the environment variables https_proxy and http_proxy name the proxy.";
    default:
      return status >= 300 && status < 400
                 ? "Redirects are not followed, because of the key; give the final address."
                 : nullptr;
  }
}

// Faults of TLS that every attempt would meet.
bool is_distrust(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM;
}

class Client {
 public:
  Client(const ClientOptions& options, const ClientCalls& calls)
      : options_(options),
        calls_(calls),
        is_local_(is_this_machine(options.url)),
        multi_(curl_multi_init()),
        jitter_(uint32_t(process_id()) ^ uint32_t(std::fmod(monotonic_seconds() * 1e6, 4e9))) {
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
    constexpr int kLongestPoll = 50;  // ms; interval of checking `stop` and the due retries
    while (!calls_.stop()) {
      start_what_is_due();
      if (transfers_.empty() && is_exhausted_) return;
      int running = 0;
      curl_multi_perform(multi_, &running);
      if (!take_finished()) curl_multi_poll(multi_, nullptr, 0, kLongestPoll, nullptr);
    }
  }

 private:
  void release(Transfer& transfer) {
    if (transfer.easy == nullptr) return;
    curl_multi_remove_handle(multi_, transfer.easy);
    curl_easy_cleanup(transfer.easy);
    transfer.easy = nullptr;
  }

  void start_what_is_due() {
    const double now = monotonic_seconds();
    if (now < resume_at_) return;
    for (auto& transfer : transfers_)
      if (transfer.easy == nullptr && transfer.due <= now) start(transfer);
    while (!is_exhausted_ && int64_t(transfers_.size()) < options_.in_flight) {
      auto request = calls_.next();
      is_exhausted_ = !request;
      if (request) start(transfers_.emplace_back(Transfer{.request = std::move(*request)}));
    }
  }

  void start(Transfer& transfer) {
    ++transfer.attempts;
    transfer.body.clear();
    transfer.retry_after.clear();
    transfer.date.clear();
    transfer.is_too_large = false;
    CURL* easy = transfer.easy = curl_easy_init();
    PIXART_CHECK(easy != nullptr, "curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_URL, options_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);        // the key is for this host only
    if (is_local_) curl_easy_setopt(easy, CURLOPT_PROXY, "");  // the request stays on this machine
    curl_easy_setopt(easy, CURLOPT_USERAGENT, producer().c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(transfer.request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, long(std::ceil(options_.timeout_seconds * 1000)));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, long(std::ceil(options_.connect_seconds * 1000)));
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (!options_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_multi_add_handle(multi_, easy);
  }

  bool take_finished() {  // whether there was a finished request
    bool found = false;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      found = true;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      Reply reply{.body = std::move(transfer->body), .fault = {}, .attempts = transfer->attempts};
      const CURLcode code = message->data.result;
      if (code == CURLE_OK)
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &reply.http_status);
      else
        reply.fault = transfer->is_too_large ? "the answer is larger than 8 MiB" : curl_easy_strerror(code);
      if (code != CURLE_OK) refuse_unreachable(message->easy_handle, code);
      if (reply.http_status == 0) reply.body.clear();
      reply.body = without_key(reply.body, options_.key);
      reply.status = meant_status(reply.http_status, reply.body);
      release(*transfer);
      finish(*transfer, reply);
    }
    return found;
  }

  void refuse_unreachable(CURL* easy, CURLcode code) const {
    constexpr long kProxyLogin = 407;
    long proxy_status = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (proxy_status == kProxyLogin) refuse_for_all({.status = kProxyLogin, .http_status = kProxyLogin});
    if (!is_distrust(code)) return;
    throw UserError(followed_by(fmt::format("{}: {}", options_.url, curl_easy_strerror(code)),
                                "--ca-file names a PEM file of certificates to trust, such as those of a "
                                "private authority."));
  }

  void finish(Transfer& transfer, const Reply& reply) {
    if (const auto body = mended(transfer.request, reply)) {
      transfer.request.body = *body;
      --transfer.attempts;
      transfer.due = monotonic_seconds();
      return;
    }
    refuse_for_all(reply);
    const double asked_seconds = keep_retry_after(transfer, reply);
    const bool may_retry = transfer.attempts <= options_.retries;
    if (may_retry && reply.is_temporary()) return retry(transfer, reply, asked_seconds);
    if (calls_.done(transfer.request.number, reply) && may_retry)
      transfer.due = monotonic_seconds();
    else
      transfers_.remove_if([&](const Transfer& other) { return &other == &transfer; });
  }

  void refuse_for_all(const Reply& reply) const {
    const char* advice = advice_for(reply.status);
    if (advice == nullptr) return;
    throw UserError(followed_by(fmt::format("{} answers with {}", options_.url, said_by(reply)), advice));
  }

  std::optional<std::string> mended(const Request& request, const Reply& reply) const {
    constexpr long kRefused[] = {400, 422};
    const bool is_refused =
        std::count(std::begin(kRefused), std::end(kRefused), reply.status) > 0 && calls_.mend != nullptr;
    return is_refused ? calls_.mend(request, reply) : std::nullopt;
  }

  // The status, and the endpoint's own words; or why no answer came.
  std::string said_by(const Reply& reply) const {
    if (reply.status == 0) return reply.fault;
    const std::string message = reply.http_status == 0 ? "" : error_of(reply.body).message;
    return status_text(reply) + (message.empty() ? "" : ", " + without_key(message, options_.key));
  }

  // Pauses all requests for the time of Retry-After; returns that time.
  double keep_retry_after(const Transfer& transfer, const Reply& reply) {
    if (!reply.is_temporary() || reply.status == 0) return 0;
    const auto asked = data::retry_after_seconds(transfer.retry_after, transfer.date);
    if (!asked) return 0;
    if (*asked > options_.longest_wait_seconds)
      throw UserError(
          fmt::format("{} answers with {} and asks to wait for {}. All answers so far are kept; the same "
                      "command continues.",
                      options_.url, status_text(reply), human_seconds(*asked)),
          ExitCode::kRequeue);
    resume_at_ = std::max(resume_at_, monotonic_seconds() + *asked);
    return *asked;
  }

  void retry(Transfer& transfer, const Reply& reply, double asked_seconds) {
    const double pause = std::min(options_.longest_pause_seconds,
                                  options_.first_pause_seconds * std::exp2(double(transfer.attempts - 1)));
    // With jitter, so that the retries are not simultaneous.
    const double jitter = std::uniform_real_distribution<double>(0.5, 1.5)(jitter_);
    transfer.due = monotonic_seconds() + asked_seconds + pause * jitter;
    warn(reply);
  }

  // Warns from time to time, to explain why it is slow.
  void warn(const Reply& reply) {
    constexpr double kBetweenSeconds = 30;
    const double now = monotonic_seconds();
    if (now < warn_at_) return;
    warn_at_ = now + kBetweenSeconds;
    log::warning("{}: {}", options_.url, followed_by(said_by(reply), "Trying again."));
  }

  const ClientOptions& options_;
  const ClientCalls& calls_;
  const bool is_local_;
  CURLM* multi_;
  curl_slist* headers_ = nullptr;
  std::list<Transfer> transfers_;  // in flight, or waiting for a retry
  bool is_exhausted_ = false;
  double resume_at_ = 0;  // set when the endpoint asks for a pause
  double warn_at_ = 0;
  std::minstd_rand jitter_;
};

}  // namespace

std::string status_text(const Reply& reply) {
  if (reply.status == reply.http_status || reply.http_status == 0)
    return fmt::format("HTTP {}", reply.status);
  return fmt::format("HTTP {} (meaning {})", reply.http_status, reply.status);
}

void send_all(const ClientOptions& options, const ClientCalls& calls) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  PIXART_CHECK(ready == CURLE_OK, "curl_global_init");
  Client(options, calls).run();
}

}  // namespace pixart::caption
