#include "exchange.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "endpoint.h"
#include "error_body.h"
#include "message_text.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "secret.h"

namespace pixart::caption {

ClientOptions client_of(ClientOptions client, const std::string& endpoint, bool insecure) {
  client.url = request_url(endpoint);
  check_key(client.key, client.url, insecure);
  if (!client.ca_file.empty() && !std::filesystem::is_regular_file(client.ca_file))
    throw UserError(fmt::format("--ca-file: {} is not a file.", client.ca_file));
  return client;
}

Exchange::Exchange(ClientOptions client, std::string model, double temperature, JobStore& store)
    : client_(std::move(client)),
      model_(std::move(model)),
      temperature_(temperature),
      store_(store),
      suspects_(client_.url, store.has_answers()) {}

void Exchange::send(const ExchangeCalls& calls) {
  send_all(client_,
           {.next = [&] { return changed(calls.next()); },
            .done = [&](int64_t number, const Reply& reply) { return take(calls, number, reply); },
            .mend = [this](const Request& request, const Reply& reply) { return mend(request, reply); },
            .stop = stop_requested});
  if (stop_requested()) return;  // the last failed requests stay open
  for (const auto& result : suspects_.finish()) store_.put(result);
}

std::optional<Request> Exchange::changed(std::optional<Request> request) const {
  if (!request) return request;
  for (const Change change : changes_)
    if (auto body = change(request->body)) request->body = std::move(*body);
  return request;
}

// Some interfaces call max_tokens by another name, only stream, take no temperature or give fewer probabilities. All
// later requests are changed too.
std::optional<std::string> Exchange::mend(const Request& request, const Reply& reply) {
  const auto error = error_of(reply.body);
  const Change change = wants_completion_tokens(error.words) ? with_completion_tokens
                        : wants_stream(error.words)          ? as_stream
                        : wants_few_logprobs(error.words)    ? with_few_logprobs
                        : refuses_temperature(error.words)   ? without_temperature
                                                             : nullptr;
  const std::string said = fmt::format("{} answers with {}, {}", client_.url, status_text(reply),
                                       without_key(error.message, client_.key));
  if (change == nullptr && refuses_logprobs(error.words) &&
      request.body.find("\"logprobs\":true") != std::string::npos)
    throw UserError(followed_by(said, "It gives no probabilities of tokens: give --samples K."));
  if (change == nullptr) return std::nullopt;
  constexpr double kUsual = 1;  // what an endpoint takes if a request has no temperature
  if (change == without_temperature && temperature_ != kUsual)
    throw UserError(followed_by(said, "Give the --temperature that it accepts, often 1."));
  if (std::find(changes_.begin(), changes_.end(), change) == changes_.end()) changes_.push_back(change);
  return change(request.body);
}

Answer Exchange::answer_of(const ExchangeCalls& calls, int64_t number, const Reply& reply) const {
  constexpr long kRefusedByFilter = 451;
  Answer answer;
  if (reply.status == 200) {
    answer = calls.read(number, reply.body);
  } else {
    answer.fault = reply.is_temporary()               ? AnswerFault::kNoAnswer
                   : reply.status == kRefusedByFilter ? AnswerFault::kRefusal
                                                      : AnswerFault::kError;
    answer.detail = reply.status == 0 ? reply.fault : status_text(reply);
    const std::string message = reply.status == 0 ? "" : error_of(reply.body).message;
    if (!message.empty()) answer.detail += ", " + message;
  }
  for (std::string* text : {&answer.text, &answer.detail, &answer.model})
    *text = without_key(*text, client_.key);
  return answer;
}

// True: the request is sent again.
bool Exchange::take(const ExchangeCalls& calls, int64_t number, const Reply& reply) {
  const Answer answer = answer_of(calls, number, reply);
  Result& result = results_[number];
  result.key = calls.key(number);
  result.model = answer.model.empty() ? model_ : answer.model;
  result.prompt_tokens += answer.prompt_tokens;
  result.completion_tokens += answer.completion_tokens;
  result.attempts = reply.attempts;
  result.text = answer.text;
  result.reason = answer.fault == AnswerFault::kNone ? "" : to_string(answer.fault);
  result.detail = answer.fault == AnswerFault::kNone ? join(answer.cleaned, ",") : answer.detail;
  written_tokens_ += answer.completion_tokens;
  // A second attempt may repair an accidental fault. A model that refuses, or writes too much, would do so
  // again, and cost money.
  const bool is_first = reply.status == 200 && asked_again_.insert(number).second;
  if (is_accident(answer.fault) && is_first && reply.attempts <= client_.retries) return true;
  const Result last = result;
  results_.erase(number);
  asked_again_.erase(number);
  const bool is_kept = !may_be_the_endpoints(answer.fault);
  if (!is_kept) {
    suspects_.add(last, answer.fault, reply.status);
  } else {
    for (const auto& suspect : suspects_.acquit_endpoint()) store_.put(suspect);
    store_.put(last);
  }
  calls.finished(number, last, is_kept);
  return false;
}

}  // namespace pixart::caption
