// Many requests to one HTTP endpoint at a time, with retries.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pixart/base/error.h"

namespace pixart::caption {

struct ClientOptions {
  std::string url;  // of the request, http or https
  std::string key;  // sent as a bearer token; "" sends none. Never part of a message
  int64_t in_flight = 8;
  int64_t retries = 6;           // further attempts after the first
  double timeout_seconds = 120;  // of one attempt
  double connect_seconds = 20;
  double first_pause_seconds =
      1;  // before the first retry; doubles, with jitter, up to longest_pause_seconds
  double longest_pause_seconds = 60;
};

// What became of a request after its last attempt.
struct Reply {
  long status = 0;    // HTTP; 0: no answer
  std::string body;   // at most 8 MiB
  std::string fault;  // "" or why there is no answer
  int64_t attempts = 0;
};

// Sends requests until `next` gives none and all are answered. `next` gives (number, body) of a request;
// `done` gets the reply, and says whether the request is to be sent again (as long as attempts are left).
// Answers 408, 425, 429 and 5xx and faults of the network are tried again by itself; after 429 and 503
// nothing new is sent for as long as Retry-After asks. Answers 401, 403 and 404 end everything: UserError. So
// does an endpoint that gives no answer at all, several requests in a row. Redirects are not followed. `stop`
// is asked often: requests in flight are given up then. Everything is called from one thread.
struct Request {
  int64_t number = 0;
  std::string body;
};
struct ClientCalls {
  std::function<std::optional<Request>()> next;
  std::function<bool(int64_t number, const Reply& reply)> done;
  std::function<bool()> stop;
};
void send_all(const ClientOptions& options, const ClientCalls& calls);

// Seconds that a Retry-After header asks for: a number, or an HTTP date; nothing for another text.
std::optional<double> retry_after_seconds(const std::string& header, int64_t now_unix_seconds);

}  // namespace pixart::caption
