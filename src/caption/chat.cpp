#include "pixart/caption/chat.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/data/transform.h"
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

// Text of a message: a string, or a list of {"type": "text", "text": ...}.
std::string content_of(const json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) return {};
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  for (const auto& part : *content)
    if (part.value("type", "") == "text") text += part.value("text", "");
  return text;
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

std::string picture_to_send(const Image& image) {
  constexpr int kShort = 400, kLong = 800, kQuality = 90;
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const double scale = std::min({1.0, double(kShort) / shorter, double(kLong) / longer});
  if (scale == 1.0) return formats::encode_jpeg(image, kQuality);
  const auto side = [&](int own) { return std::max(1, int(own * scale)); };
  return formats::encode_jpeg(data::resize(image, side(image.height), side(image.width)), kQuality);
}

std::string_view to_string(AnswerFault fault) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "none", "not_json", "empty", "truncated", "refusal", "bad_text", "error", "no_answer", "bad_picture"};
  return kNames.at(size_t(fault));
}

bool is_refusal(const std::string& text) {
  static constexpr std::array<std::string_view, 12> kOpenings = {
      "i'm sorry",  "i am sorry",  "sorry, ",      "i cannot ",     "i can't ", "i can not ",
      "i'm unable", "i am unable", "i'm not able", "i am not able", "as an ai", "unfortunately, i "};
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
  if (!reply.is_object()) return faulty(answer, AnswerFault::kNotJson, "the answer is no JSON object");
  try {
    answer.model = reply.value("model", "");
    if (const auto usage = reply.find("usage"); usage != reply.end() && usage->is_object()) {
      answer.prompt_tokens = usage->value("prompt_tokens", int64_t{0});
      answer.completion_tokens = usage->value("completion_tokens", int64_t{0});
    }
    const auto choices = reply.find("choices");
    if (choices == reply.end() || !choices->is_array() || choices->empty())
      return faulty(answer, AnswerFault::kNotJson, "the answer has no choices");
    const json& choice = choices->front();
    const json& message = choice.at("message");
    const auto reason = choice.find("finish_reason");
    const std::string finish =
        reason != choice.end() && reason->is_string() ? reason->get<std::string>() : "";
    answer.caption = trimmed(content_of(message));
    if (const auto refusal = message.find("refusal"); refusal != message.end() && refusal->is_string())
      return faulty(answer, AnswerFault::kRefusal, refusal->get<std::string>().substr(0, 200));
    if (finish == "content_filter")
      return faulty(answer, AnswerFault::kRefusal, "stopped by a content filter");
    if (answer.caption.empty()) return faulty(answer, AnswerFault::kEmpty, "the answer has no text");
    if (finish == "length")
      return faulty(answer, AnswerFault::kTruncated, "the answer was cut at max_tokens");
    if (!is_clean(answer.caption))
      return faulty(answer, AnswerFault::kBadText, "the answer is no clean text");
    if (is_refusal(answer.caption))
      return faulty(answer, AnswerFault::kRefusal, answer.caption.substr(0, 200));
  } catch (const json::exception& error) {
    return faulty(answer, AnswerFault::kNotJson, error.what());
  }
  return answer;
}

std::string error_message(const std::string& body) {
  constexpr size_t kLongest = 300;
  const json reply = json::parse(body, nullptr, false);
  std::string text;
  if (reply.is_object() && reply.contains("error")) {
    const json& error = reply["error"];
    if (error.is_string()) text = error.get<std::string>();
    if (error.is_object() && error.contains("message") && error["message"].is_string())
      text = error["message"];
  }
  if (!is_clean(text)) return {};
  return text.substr(0, kLongest);
}

}  // namespace pixart::caption
