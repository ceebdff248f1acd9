// One question to an OpenAI-compatible chat endpoint, and what comes back.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "pixart/formats/image_file.h"

namespace pixart::caption {

struct ChatOptions {
  std::string model;
  int64_t max_tokens = 1024;
  double temperature = 0.2;
};

// The body of POST <endpoint>/chat/completions: the picture as a data URL of a JPEG, then the prompt.
std::string request_body(const ChatOptions& options, const std::string& prompt, std::string_view jpeg);

// The picture as it is sent: at most 400 pixels on the shorter side and 800 on the longer one (as the
// released captioning script does), JPEG of quality 90.
std::string picture_to_send(const Image& image);

// What is wrong with an answer. The names of to_string() stand in rejected.jsonl beside those of
// data::Reason: append, never rename.
enum class AnswerFault {
  kNone,
  kNotJson,    // no JSON, or none of this interface's
  kEmpty,      // no text
  kTruncated,  // cut at max_tokens
  kRefusal,    // the model declines, or a content filter does
  kBadText,    // no UTF-8, control characters, more than 1 MiB
  kError,      // the endpoint refuses this request (HTTP 400, 413, 422, ...)
  kNoAnswer,   // nothing usable after all attempts
};
std::string_view to_string(AnswerFault fault);

struct Answer {
  AnswerFault fault = AnswerFault::kNone;
  std::string caption;                               // trimmed; empty with a fault
  std::string detail;                                // a sentence about the fault
  std::string model;                                 // as the endpoint names it, "" where it does not
  int64_t prompt_tokens = 0, completion_tokens = 0;  // 0 where the endpoint does not say
};

Answer parse_answer(const std::string& body);        // of HTTP 200; never throws
bool is_refusal(const std::string& text);            // by its opening words
std::string error_message(const std::string& body);  // of another status, shortened; "" where there is none

}  // namespace pixart::caption
