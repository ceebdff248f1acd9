// The requests of a job and their answers: one endpoint, whose results are stored at once.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chat.h"
#include "job_store.h"
#include "pixart/base/error.h"
#include "pixart/caption/client.h"
#include "suspects.h"

namespace pixart::caption {

// The options of a client for an endpoint. Throws UserError for an address, a key or a file of certificates that
// cannot be used.
ClientOptions client_of(ClientOptions client, const std::string& endpoint, bool insecure);

struct ExchangeCalls {
  std::function<std::optional<Request>()> next;                         // nothing after the last request
  std::function<std::string(int64_t number)> key;                       // of the result
  std::function<Answer(int64_t number, const std::string& body)> read;  // of HTTP 200
  // After the last attempt. `is_kept`: the result is stored; otherwise it is not known yet whether the endpoint is
  // at fault.
  std::function<void(int64_t number, const Result&, bool is_kept)> finished;
};

// Sends; then writes what was answered, also if all requests fail from some moment on.
template <class Send, class Write>
auto send_and_write(const Send& send, const Write& write) {
  try {
    send();
  } catch (const UserError&) {
    write();
    throw;
  }
  return write();
}

class Exchange {
 public:
  Exchange(ClientOptions client, std::string model, double temperature, JobStore& store);

  // Returns when all requests are answered or the process is asked to stop. Throws UserError for what concerns all
  // requests (client.h, suspects.h).
  void send(const ExchangeCalls& calls);

  const ClientOptions& client() const { return client_; }
  int64_t written_tokens() const { return written_tokens_; }  // by the model, in this process

 private:
  // Makes a request of another form, or nothing if it has that form already.
  using Change = std::optional<std::string> (*)(const std::string& body);

  std::optional<Request> changed(std::optional<Request> request) const;
  std::optional<std::string> mend(const Request& request, const Reply& reply);
  Answer answer_of(const ExchangeCalls& calls, int64_t number, const Reply& reply) const;
  bool take(const ExchangeCalls& calls, int64_t number, const Reply& reply);

  const ClientOptions client_;
  const std::string model_;
  const double temperature_;
  JobStore& store_;
  Suspects suspects_;
  std::vector<Change> changes_ = {};        // of all requests
  std::map<int64_t, Result> results_ = {};  // in progress
  std::set<int64_t> asked_again_ = {};
  int64_t written_tokens_ = 0;
};

}  // namespace pixart::caption
