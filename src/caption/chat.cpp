#include "chat.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "answer_text.h"
#include "event_stream.h"
#include "pixart/base/error.h"
#include "pixart/base/html.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

bool is_clean(const std::string& text) {
  constexpr size_t kLongest = size_t{1} << 20;
  return text.size() <= kLongest && is_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           const auto byte = uint8_t(c);
           return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F;
         });
}

Answer faulty(Answer answer, AnswerFault fault, std::string detail) {
  answer.fault = fault;
  answer.detail = std::move(detail);
  answer.text.clear();
  return answer;
}

std::string text_of(const json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t count_of(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? std::max<int64_t>(0, found->get<int64_t>())
                                                             : 0;
}

// Text of a message: a string, or a list of {"type": "text", "text": ...}.
std::string content_of(const json& message) {
  const auto content = message.find("content");
  if (content != message.end() && content->is_object()) return text_of(*content, "text");
  if (content == message.end() || !content->is_array()) return text_of(message, "content");
  std::string text;
  for (const auto& part : *content) {
    const std::string type = text_of(part, "type");
    if (part.is_string()) text += part.get<std::string>();
    if (type == "text" || type == "output_text") text += text_of(part, "text");
  }
  return text;
}

// Whether a message holds thoughts next to its text, in any of the known fields.
bool has_thoughts(const json& message) {
  for (const char* name : {"reasoning_content", "reasoning", "thinking"})
    if (!text_of(message, name).empty()) return true;
  const auto content = message.find("content");
  return content != message.end() && content->is_array() &&
         std::any_of(content->begin(), content->end(), [](const json& part) {
           const std::string type = text_of(part, "type");
           return type == "thinking" || type == "reasoning";
         });
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return text == word; });
}

Answer without_text(Answer answer, const json& message) {
  if (has_thoughts(message))
    return faulty(std::move(answer), AnswerFault::kReasoning,
                  "the answer is reasoning alone: raise --max-tokens, switch the thinking off, or use an "
                  "instruct model");
  return faulty(std::move(answer), AnswerFault::kEmpty, "the answer has no text");
}

// The fault that the endpoint itself names, and its sentence; kNone if there is none.
std::pair<AnswerFault, std::string> named_fault(const json& choice, const json& message) {
  std::string finish = text_of(choice, "finish_reason");
  std::transform(finish.begin(), finish.end(), finish.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (std::string refusal = shortened(text_of(message, "refusal")); !refusal.empty())
    return {AnswerFault::kRefusal, refusal};
  if (is_one_of(finish,
                {"content_filter", "safety", "refusal", "sensitive", "recitation", "prohibited_content",
                 "blocklist", "spii", "image_safety", "content_filtered", "guardrail_intervened"}))
    return {AnswerFault::kRefusal, "stopped by a content filter"};
  if (is_one_of(finish, {"length", "max_tokens", "model_length", "max_length"}))
    return {AnswerFault::kTruncated, has_thoughts(message) && content_of(message).empty()
                                         ? "the answer was cut at max_tokens within its reasoning"
                                         : "the answer was cut at max_tokens"};
  if (is_one_of(finish, {"error", "network_error", "abort", "cancelled"}))
    return {AnswerFault::kNotJson, "the endpoint broke off the answer: " + finish};
  return {AnswerFault::kNone, {}};
}

// The body with one part replaced, where it has it.
std::optional<std::string> with_member(const std::string& body, std::string_view old, std::string_view now) {
  const size_t at = body.rfind(old);
  if (at == std::string::npos) return std::nullopt;
  return std::string(body).replace(at, old.size(), now);
}

}  // namespace

std::string shortened(const std::string& text) {
  constexpr size_t kLongest = 200;
  std::string result;
  for (size_t at = 0, length; at < text.size() && result.size() < kLongest; at += length) {
    length = std::max<size_t>(1, utf8_sequence(text, at));
    const bool is_control = length == 1 && (uint8_t(text[at]) < 0x20 || uint8_t(text[at]) >= 0x7F);
    result += is_control ? " " : text.substr(at, length);
  }
  return trimmed(result);
}

std::string request_body(const ChatOptions& options, const std::vector<std::string>& turns,
                         std::string_view jpeg) {
  json messages = json::array();
  for (size_t i = 0; i < turns.size(); ++i) {
    json content = turns[i];
    if (i == 0)
      content = json::array({{{"type", "image_url"}, {"image_url", {{"url", data_url("image/jpeg", jpeg)}}}},
                             {{"type", "text"}, {"text", turns[i]}}});
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::move(content)}});
  }
  json body = {{"model", options.model},
               {"max_tokens", options.max_tokens},
               {"stream", false},
               {"temperature", options.temperature},
               {"messages", std::move(messages)}};
  if (options.top_p) body["top_p"] = *options.top_p;
  if (options.seed) body["seed"] = *options.seed;
  if (options.top_logprobs > 0) body["logprobs"] = true;
  if (options.top_logprobs > 0) body["top_logprobs"] = options.top_logprobs;
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string request_body(const ChatOptions& options, const std::string& prompt, std::string_view jpeg) {
  return request_body(options, std::vector<std::string>{prompt}, jpeg);
}

// No string of JSON has the texts of these members in it: its quotes are escaped.
std::optional<std::string> with_completion_tokens(const std::string& body) {
  return with_member(body, "\"max_tokens\":", "\"max_completion_tokens\":");
}

std::optional<std::string> without_temperature(const std::string& body) {
  const size_t at = body.rfind(",\"temperature\":");
  if (at == std::string::npos) return std::nullopt;
  return body.substr(0, at) + body.substr(std::min(body.find_first_of(",}", at + 1), body.size()));
}

std::optional<std::string> as_stream(const std::string& body) {
  return with_member(body, ",\"stream\":false", ",\"stream\":true");
}

std::optional<std::string> with_few_logprobs(const std::string& body) {
  constexpr const char* kFew = ",\"top_logprobs\":5";
  if (body.rfind(kFew) != std::string::npos) return std::nullopt;
  const size_t at = body.rfind(",\"top_logprobs\":");
  if (at == std::string::npos) return std::nullopt;
  return body.substr(0, at) + kFew + body.substr(std::min(body.find_first_of(",}", at + 1), body.size()));
}

std::string_view to_string(AnswerFault fault) {
  static constexpr std::array<std::string_view, 15> kNames = {
      "none",     "not_json",   "empty",     "truncated",        "refusal",
      "bad_text", "error",      "no_answer", "reasoning",        "no_image",
      "loop",     "not_yes_no", "no_score",  "no_probabilities", "bad_probabilities"};
  return kNames.at(size_t(fault));
}

Answer parse_message(const std::string& body, bool may_be_cut) {
  Answer answer;
  const bool is_stream = is_event_stream(body);
  const json reply = json::parse(is_stream ? answer_of_stream(body) : body, nullptr, false);
  if (!reply.is_object())
    return faulty(
        answer, AnswerFault::kNotJson,
        is_stream ? "the answer is a stream of events that ended early" : "the answer is not a JSON object");
  answer.model = text_of(reply, "model");
  if (const auto usage = reply.find("usage"); usage != reply.end() && usage->is_object()) {
    answer.prompt_tokens = count_of(*usage, "prompt_tokens");
    answer.completion_tokens = count_of(*usage, "completion_tokens");
  }
  const auto choices = reply.find("choices");
  if (choices == reply.end() || !choices->is_array() || choices->empty())
    return faulty(answer, AnswerFault::kNotJson, "the answer has no choices");
  const json& choice = choices->front();
  const auto message = choice.is_object() ? choice.find("message") : choice.end();
  if (message == choice.end() || !message->is_object())
    return faulty(answer, AnswerFault::kNotJson, "the answer's choice has no message");
  const auto [fault, detail] = named_fault(choice, *message);
  if (fault != AnswerFault::kNone && !(may_be_cut && fault == AnswerFault::kTruncated))
    return faulty(answer, fault, detail);
  answer.text = trimmed(content_of(*message));
  if (answer.text.empty()) return without_text(answer, *message);
  if (!is_clean(answer.text))
    return faulty(answer, AnswerFault::kBadText, "control characters, or more than 1 MiB");
  return answer;
}

Answer parse_answer(const std::string& body, Reasoning reasoning) {
  Answer answer = parse_message(body);
  if (answer.fault != AnswerFault::kNone) return answer;
  CleanText clean = clean_answer(answer.text, reasoning);
  if (clean.fault != AnswerFault::kNone) return faulty(answer, clean.fault, shortened(clean.detail));
  answer.text = std::move(clean.text);
  answer.cleaned = std::move(clean.cleaned);
  return answer;
}

}  // namespace pixart::caption
