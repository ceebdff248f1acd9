// Sends many concurrent requests to one HTTP endpoint, with retries.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <string>

namespace pixart::caption {

struct ClientOptions {
  std::string url;           // of the request, http or https
  std::string key;           // sent as a bearer token; "" sends none. Never part of a message or a reply
  std::string ca_file = {};  // PEM file of certificates to trust in place of the system's; "": the system's
  int64_t in_flight = 8;  // requests that were begun and are not done, including those that wait for a retry
  int64_t retries = 6;    // further attempts after the first
  // Time of one attempt. Its speed has no limit: an endpoint is silent while the model writes.
  double timeout_seconds = 120;
  double connect_seconds = 20;
  double first_pause_seconds = 1;  // before the first retry; doubles, with jitter
  double longest_pause_seconds = 60;
  double longest_wait_seconds = 600;  // longest wait that an endpoint may demand (Retry-After)
};

struct Request {
  int64_t number = 0;
  std::string body;  // JSON
};

// The result of a request after its last attempt.
struct Reply {
  // Of HTTP, or the one that the body means (an error inside an answer with 200, exhausted credits, a model
  // that is still loading); 0: no complete answer.
  long status = 0;
  long http_status = 0;    // as it was sent
  std::string body = {};   // at most 8 MiB
  std::string fault = {};  // why no answer came
  int64_t attempts = 0;
  // Another attempt may succeed: no answer, HTTP 408, 409, 423, 424 and 425 (not ready), 429, 498 (no
  // capacity), 499 and 5xx.
  bool is_temporary() const {
    constexpr long kTemporary[] = {0, 408, 409, 423, 424, 425, 429, 498, 499};
    return status >= 500 || std::count(std::begin(kTemporary), std::end(kTemporary), status) > 0;
  }
};

// "HTTP 429", or "HTTP 200 (meaning 429)" where the body means another status.
std::string status_text(const Reply& reply);

struct ClientCalls {
  std::function<std::optional<Request>()> next;  // nothing after the last request
  // Returns true to send the request once more, which needs a remaining attempt.
  std::function<bool(int64_t number, const Reply& reply)> done;
  // Returns another body for a request that was refused, which is then sent without counting as an attempt.
  std::function<std::optional<std::string>(const Request&, const Reply&)> mend = nullptr;
  std::function<bool()> stop;  // called often; if true, requests in flight are abandoned
};

// Sends all requests as POST and returns when all are done. Requests with temporary faults are sent again,
// with exponential pauses. After a Retry-After (seconds or date) nothing is sent for that time. Throws
// UserError for what concerns all requests: the answers 401, 402, 403, 404, 405, 407, 410 and 3xx (redirects
// are not followed), a certificate that is not trusted, and a Retry-After above the limit
// (ExitCode::kRequeue). The proxy comes from the environment (https_proxy, ...), but not for addresses of
// this machine. All functions are called from the calling thread.
void send_all(const ClientOptions& options, const ClientCalls& calls);

}  // namespace pixart::caption
