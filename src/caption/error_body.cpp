#include "error_body.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "answer_rules.h"
#include "chat.h"
#include "event_stream.h"
#include "pixart/base/error.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

// Words of error types and messages, in lower case; the first that is found counts.
struct StatusWords {
  const char* words;
  long status;
  bool for_any;  // also where HTTP gives another status of 400 or more
};
constexpr StatusWords kStatusWords[] = {
    {"content_policy", 451, true},
    {"content policy", 451, true},
    {"content_filter", 451, true},
    {"content filter", 451, true},
    {"content management policy", 451, true},
    {"data_inspection", 451, true},
    {"requires moderation", 451, true},
    {"safety system", 451, true},
    {"insufficient_quota", 402, true},
    {"insufficient quota", 402, true},
    {"exceeded your current quota", 402, true},
    {"insufficient_credit", 402, true},
    {"insufficient credit", 402, true},
    {"insufficient balance", 402, true},
    {"insufficient_balance", 402, true},
    {"insufficient funds", 402, true},
    {"credit balance", 402, true},
    {"out of credit", 402, true},
    {"credits exhausted", 402, true},
    {"included credits", 402, true},
    {"never purchased credits", 402, true},
    {"billing", 402, true},
    {"payment required", 402, true},
    {"payment_required", 402, true},
    {"arrearage", 402, true},
    {"\u4f59\u989d\u4e0d\u8db3", 402, true},
    {"\u6b20\u8d39", 402, true},
    {"is loading", 503, true},
    {"still loading", 503, true},
    {"loading model", 503, true},
    {"model is not ready", 503, true},
    {"currently overloaded", 503, true},
    {"rate limit", 429, false},
    {"rate_limit", 429, false},
    {"ratelimit", 429, false},
    {"too many requests", 429, false},
    {"toomanyrequests", 429, false},
    {"throttl", 429, false},
    {"resource_exhausted", 429, false},
    {"overloaded", 503, false},
    {"unavailable", 503, false},
    {"server_error", 503, false},
    {"internal error", 503, false},
    {"internal server error", 503, false},
    {"capacity", 503, false},
    {"timeout", 503, false},
    {"timed out", 503, false},
    {"api key", 401, false},
    {"api_key", 401, false},
    {"unauthorized", 401, false},
    {"authentication", 401, false},
    {"model_not_found", 404, true},
    {"invalid model", 404, false},
};

std::string lowered_text(const std::string& text) { return to_utf8(lowered(to_wide(text))); }

bool contains(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

// "model 'x' does not exist", "The model `x` is not found": no other request would succeed either.
bool is_unknown_model(const std::string& text) {
  return contains(text, "model") && (contains(text, "does not exist") || contains(text, "not found"));
}

long status_of_words(const std::string& text, bool for_any) {
  for (const auto& known : kStatusWords)
    if ((known.for_any || !for_any) && contains(text, known.words)) return known.status;
  return is_unknown_model(text) ? 404 : 0;
}

std::string text_in(const json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = object.find(name);
    if (found != object.end() && found->is_string() && !found->get<std::string>().empty())
      return found->get<std::string>();
  }
  return {};
}

long number_in(const json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = object.find(name);
    if (found == object.end()) continue;
    long number = 0;
    if (found->is_number_integer()) number = found->get<long>();
    if (found->is_string()) {
      const auto text = found->get<std::string>();
      std::from_chars(text.data(), text.data() + text.size(), number);
    }
    if (number >= 400 && number < 600) return number;
  }
  return 0;
}

struct Found {
  std::string message, words;  // `words`: also types and codes
  long status = 0;
};

std::string message_in(const json& value, int depth);

// Lists and objects may be deep, and are only named.
std::string shown(const json& value) { return value.is_primitive() ? value.dump() : value.type_name(); }

// FastAPI: [{"loc": ["body", "model"], "msg": "field required"}], other lists.
std::string message_of_list(const json& list, int depth) {
  for (const auto& entry : list) {
    std::string message = message_in(entry, depth + 1);
    if (message.empty()) continue;
    const auto place = entry.is_object() ? entry.find("loc") : list.end();
    if (entry.is_object() && place != entry.end() && place->is_array() && !place->empty())
      message +=
          " (" + (place->back().is_string() ? place->back().get<std::string>() : shown(place->back())) + ")";
    return message;
  }
  return {};
}

std::string message_in(const json& value, int depth) {
  constexpr int kDeepest = 5;
  if (depth > kDeepest) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return message_of_list(value, depth);
  if (!value.is_object()) return {};
  for (const char* name :
       {"message", "msg", "error", "detail", "errors", "error_message", "errorMessage", "Message",
        "faultstring", "fault", "error_description", "description", "status_msg", "title", "reason"}) {
    const auto found = value.find(name);
    const std::string message = found == value.end() ? "" : message_in(*found, depth + 1);
    if (!message.empty()) return message;
  }
  return text_in(value, {"type", "code"});
}

void add_words(const json& value, Found& found) {
  if (!value.is_object()) return;
  found.words +=
      " " + text_in(value, {"type"}) + " " + text_in(value, {"code"}) + " " + text_in(value, {"status"});
  if (found.status == 0)
    found.status = number_in(value, {"code", "status", "status_code", "statusCode", "http_code"});
}

// The value that holds the error; nullptr if the object has none.
const json* error_value(const json& object) {
  for (const char* name : {"error", "errors", "detail", "fault", "base_resp"}) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) continue;
    const bool is_nothing = (found->is_boolean() && !found->get<bool>()) ||
                            (found->is_structured() && found->empty()) ||
                            (found->is_string() && found->get<std::string>().empty());
    if (!is_nothing) return &*found;
  }
  return nullptr;
}

const json* error_in_choice(const json& reply) {
  const auto choices = reply.find("choices");
  if (choices == reply.end() || !choices->is_array() || choices->empty() || !choices->front().is_object())
    return nullptr;
  const auto found = choices->front().find("error");
  return found == choices->front().end() || found->is_null() ? nullptr : &*found;
}

bool has_choices(const json& reply) {
  const auto choices = reply.find("choices");
  return choices != reply.end() && choices->is_array() && !choices->empty();
}

ErrorBody finished(const Found& found) {
  const std::string words = lowered_text(found.words + " " + found.message);
  const long meant = status_of_words(words, found.status != 0);
  return {true, meant != 0 ? meant : found.status, shortened(found.message), words};
}

ErrorBody error_of_object(const json& reply) {
  const json* error = error_in_choice(reply);
  if (error == nullptr && has_choices(reply)) return {};
  if (error == nullptr) error = error_value(reply);
  Found found;
  if (error != nullptr) {
    found.message = message_in(*error, 0);
    add_words(*error, found);
  }
  if (found.message.empty()) found.message = message_in(reply, 0);
  add_words(reply, found);
  if (error == nullptr && found.message.empty()) return {};
  return finished(found);
}

// The title of a page, or its text without tags.
std::string text_of_page(const std::string& page) {
  const std::string lower = lowered_text(page);
  const size_t title = lower.find("<title>"), end = lower.find("</title>");
  if (title != std::string::npos && end != std::string::npos && end > title && lower.size() == page.size())
    return page.substr(title + 7, end - title - 7);
  constexpr size_t kMost = 2000;
  std::string text;
  bool is_tag = false;
  for (const char c : page.substr(0, kMost)) {
    is_tag = c == '<' || (is_tag && c != '>');
    if (!is_tag && c != '>') text += c;
  }
  return text;
}

bool starts_with_json(const std::string& body) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  return first != std::string::npos && (body[first] == '{' || body[first] == '[');
}

}  // namespace

ErrorBody error_of(const std::string& body) {
  json reply = json::parse(is_event_stream(body) ? answer_of_stream(body) : body, nullptr, false);
  if (reply.is_discarded() && is_event_stream(body)) return {};
  if (reply.is_array() && !reply.empty()) reply = json(reply.front());
  if (reply.is_object()) return error_of_object(reply);
  if (reply.is_string()) return finished({reply.get<std::string>(), "", 0});
  if (!reply.is_discarded()) return {};
  const size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  const char c = body[first];
  if (c == '{' || c == '[') return {};  // JSON that was cut
  constexpr size_t kMost = 1000;
  return finished({c == '<' ? text_of_page(body) : body.substr(first, kMost), "", 0});
}

long meant_status(long status, const std::string& body) {
  if (status != 200 && status < 400) return status;
  if (status == 200) {
    if (!is_event_stream(body) && !starts_with_json(body)) return status;
    const auto error = error_of(body);
    constexpr long kBadRequest = 400;
    return error.message.empty() ? status : error.status == 0 ? kBadRequest : error.status;
  }
  const long meant = status >= 500 ? 0 : status_of_words(error_of(body).words, true);
  return meant == 0 ? status : meant;
}

bool wants_completion_tokens(const std::string& message) {
  const std::string text = lowered_text(message);
  if (contains(text, "max_completion_tokens")) return true;
  if (!contains(text, "max_tokens")) return false;
  for (const char* words : {"unsupported", "not supported", "unrecognized", "unknown", "not permitted",
                            "not allowed", "deprecated", "unexpected", "no longer"})
    if (contains(text, words)) return true;
  return false;
}

bool refuses_temperature(const std::string& message) {
  const std::string text = lowered_text(message);
  return contains(text, "temperature") && (contains(text, "unsupported") || contains(text, "support") ||
                                           contains(text, "only") || contains(text, "deprecated"));
}

bool wants_few_logprobs(const std::string& message) {
  const std::string text = lowered_text(message);
  if (!contains(text, "top_logprobs") && !contains(text, "top logprobs")) return false;
  for (const char* words : {"less than", "at most", "greater than", "maximum", "exceed", "between", "range"})
    if (contains(text, words)) return true;
  return false;
}

bool refuses_logprobs(const std::string& message) {
  return contains(lowered_text(message), "logprob") && !wants_few_logprobs(message);
}

bool wants_stream(const std::string& message) {
  const std::string text = lowered_text(message);
  for (const char* words :
       {"only support stream", "only supports stream", "stream must be true", "stream must be set to true",
        "enable the stream", "requires stream", "stream=true"})
    if (contains(text, words)) return true;
  return false;
}

}  // namespace pixart::caption
