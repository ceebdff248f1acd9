// Many requests to one HTTP endpoint at a time, with retries.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace pixart::caption {

struct ClientOptions {
  std::string url;        // of the request, http or https
  std::string key;        // sent as a bearer token; "" sends none. Never part of a message or a reply
  int64_t in_flight = 8;  // requests that were begun and are not done, those that wait for a retry included
  int64_t retries = 6;    // further attempts after the first
  // Of one attempt. There is no limit on its speed: an endpoint is silent while the model writes.
  double timeout_seconds = 120;
  double connect_seconds = 20;
  double first_pause_seconds = 1;  // before the first retry; doubles, with jitter
  double longest_pause_seconds = 60;
  double longest_wait_seconds = 600;  // that an endpoint may ask for (Retry-After)
};

struct Request {
  int64_t number = 0;
  std::string body;  // JSON
};

// What became of a request after its last attempt.
struct Reply {
  long status = 0;    // HTTP; 0: no whole answer
  std::string body;   // at most 8 MiB
  std::string fault;  // why there is no answer
  int64_t attempts = 0;
  // Worth another attempt: no answer, HTTP 408, 425, 429 and 5xx.
  bool is_temporary() const {
    return status == 0 || status == 408 || status == 425 || status == 429 || status >= 500;
  }
};

struct ClientCalls {
  std::function<std::optional<Request>()> next;  // nothing: there are no more
  // Returns whether the request is to be sent once more; only as long as attempts are left.
  std::function<bool(int64_t number, const Reply& reply)> done;
  std::function<bool()> stop;  // asked often; then requests in flight are given up
};

// Sends requests as POST until there are no more and all are done. Temporary faults are tried again by
// itself, with exponential pauses. After a Retry-After (seconds or date) nothing is sent for that long.
// Answers 401, 403, 404 and 3xx end everything: UserError; redirects are not followed. So does a
// Retry-After beyond the limit (ExitCode::kRequeue). A proxy is taken from the environment (https_proxy,
// ...), but not for addresses of this machine. Everything is called from the calling thread.
void send_all(const ClientOptions& options, const ClientCalls& calls);

// Seconds that a Retry-After header asks for: a number, or an HTTP date that is compared with `date`, the
// reply's own Date header (else with this machine's clock). Nothing for another text.
std::optional<double> retry_after_seconds(const std::string& header, const std::string& date);

}  // namespace pixart::caption
