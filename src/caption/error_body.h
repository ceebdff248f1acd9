// Errors that an endpoint or a proxy reports, in any of the usual forms.
#pragma once
#include <string>

namespace pixart::caption {

// What the body of an answer says about an error.
struct ErrorBody {
  bool is_error = false;
  long status = 0;      // the HTTP status that the body names or means; 0: none
  std::string message;  // shortened; "" if there is none
  std::string words;    // the message with types and codes, in lower case
};

// Knows the forms of OpenAI, vLLM, FastAPI (a list in `detail`), Gemini (a list), gateways (`message`,
// `errors`, `error` as a text), an error in a choice or in a stream of events, HTML pages and plain texts.
ErrorBody error_of(const std::string& body);

// The status that an answer means: that of its body for HTTP 200 with an error; 402 for any status with
// exhausted credits, 503 for a model that is still loading, 451 for an image that a filter refuses, 404 for
// an unknown model. Otherwise `status`.
long meant_status(long status, const std::string& body);

bool wants_completion_tokens(const std::string& message);  // in place of max_tokens
bool refuses_temperature(const std::string& message);
bool wants_stream(const std::string& message);        // gives its answers as streams alone
bool wants_few_logprobs(const std::string& message);  // fewer tokens at each place
bool refuses_logprobs(const std::string& message);    // gives no probabilities of tokens

}  // namespace pixart::caption
