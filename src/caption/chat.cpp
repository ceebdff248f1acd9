#include "chat.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/formats/utf8.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3), '\0');
  if (!text.empty())
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                    reinterpret_cast<const unsigned char*>(bytes.data()), int(bytes.size()));
  return text;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  return first == std::string::npos ? std::string()
                                    : text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

bool is_clean(const std::string& text) {
  constexpr size_t kLongest = size_t{1} << 20;
  return text.size() <= kLongest && formats::is_utf8(text) &&
         std::none_of(text.begin(), text.end(), [](char c) {
           const auto byte = uint8_t(c);
           return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F;
         });
}

Answer faulty(Answer answer, AnswerFault fault, std::string detail) {
  answer.fault = fault;
  answer.detail = std::move(detail);
  answer.caption.clear();
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
  if (content == message.end() || !content->is_array()) return text_of(message, "content");
  std::string text;
  for (const auto& part : *content)
    if (text_of(part, "type") == "text") text += text_of(part, "text");
  return text;
}

// Shortens a text for the ledger: one line, complete characters.
std::string shortened(const std::string& text) {
  constexpr size_t kLongest = 200;
  std::string result;
  for (size_t at = 0, length; at < text.size() && result.size() < kLongest; at += length) {
    length = std::max<size_t>(1, formats::utf8_sequence(text, at));
    const bool is_control = length == 1 && (uint8_t(text[at]) < 0x20 || uint8_t(text[at]) >= 0x7F);
    result += is_control ? " " : text.substr(at, length);
  }
  return trimmed(result);
}

}  // namespace

std::string request_body(const ChatOptions& options, const std::string& prompt, std::string_view jpeg) {
  const json image = {{"type", "image_url"},
                      {"image_url", {{"url", "data:image/jpeg;base64," + base64(jpeg)}}}};
  const json text = {{"type", "text"}, {"text", prompt}};
  const json body = {
      {"model", options.model},
      {"max_tokens", options.max_tokens},
      {"temperature", options.temperature},
      {"messages", json::array({{{"role", "user"}, {"content", json::array({image, text})}}})}};
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view to_string(AnswerFault fault) {
  static constexpr std::array<std::string_view, 8> kNames = {"none",    "not_json", "empty", "truncated",
                                                             "refusal", "bad_text", "error", "no_answer"};
  return kNames.at(size_t(fault));
}

bool is_refusal(const std::string& text) {
  static constexpr std::array<std::string_view, 16> kOpenings = {
      "i'm sorry",   "i am sorry", "sorry, ",     "i apologize",      "i cannot ",     "i can't ",
      "i can not ",  "i'm unable", "i am unable", "i'm not able",     "i am not able", "i won't ",
      "i will not ", "as an ai ",  "as an ai,",   "unfortunately, i "};
  std::string start = text.substr(0, 64);
  size_t at;
  while ((at = start.find("\xE2\x80\x99")) != std::string::npos)
    start.replace(at, 3, "'");  // typographic apostrophe
  std::transform(start.begin(), start.end(), start.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return std::any_of(kOpenings.begin(), kOpenings.end(),
                     [&](std::string_view opening) { return start.starts_with(opening); });
}

Answer parse_answer(const std::string& body) {
  Answer answer;
  const json reply = json::parse(body, nullptr, false);
  if (!reply.is_object()) return faulty(answer, AnswerFault::kNotJson, "the answer is not a JSON object");
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
  const std::string finish = text_of(choice, "finish_reason");
  if (const std::string refusal = shortened(text_of(*message, "refusal")); !refusal.empty())
    return faulty(answer, AnswerFault::kRefusal, refusal);
  if (finish == "content_filter") return faulty(answer, AnswerFault::kRefusal, "stopped by a content filter");
  if (finish == "length") return faulty(answer, AnswerFault::kTruncated, "the answer was cut at max_tokens");
  answer.caption = trimmed(content_of(*message));
  if (answer.caption.empty()) return faulty(answer, AnswerFault::kEmpty, "the answer has no text");
  if (!is_clean(answer.caption))
    return faulty(answer, AnswerFault::kBadText, "control characters, or more than 1 MiB");
  if (is_refusal(answer.caption)) {
    const std::string opening = shortened(answer.caption);
    return faulty(answer, AnswerFault::kRefusal, opening);
  }
  return answer;
}

std::string error_message(const std::string& body) {
  const json reply = json::parse(body, nullptr, false);
  if (!reply.is_object()) return {};
  const auto error = reply.find("error");
  if (error == reply.end()) return shortened(text_of(reply, "message"));
  return shortened(error->is_string() ? error->get<std::string>() : text_of(*error, "message"));
}

}  // namespace pixart::caption
