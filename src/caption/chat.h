// One request to an OpenAI-compatible chat endpoint, and its answer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/caption/reasoning.h"
#include "pixart/formats/image_file.h"

namespace pixart::caption {

struct ChatOptions {
  std::string model;
  int64_t max_tokens = 1024;
  double temperature = 0.2;
};

// The body of POST <endpoint>/chat/completions: the image as a data URL of a JPEG, then the prompt.
std::string request_body(const ChatOptions& options, const std::string& prompt, std::string_view jpeg);
// The same request with the name max_completion_tokens, which newer interfaces have for max_tokens. Nothing
// if it has that name already.
std::optional<std::string> with_completion_tokens(const std::string& body);
// The same request without a temperature, or for a stream of events. Nothing if it is so already.
std::optional<std::string> without_temperature(const std::string& body);
std::optional<std::string> as_stream(const std::string& body);

// The image in the form that is sent: at most 400 pixels on the shorter side and 800 on the longer one (as in
// the released captioning script), JPEG of quality 90.
std::string image_to_send(const Image& image);

// The fault of an answer. rejected.jsonl contains the names of to_string(), in addition to those of
// data::Reason: append, never rename.
enum class AnswerFault {
  kNone,
  kNotJson,    // not JSON, or JSON of another interface
  kEmpty,      // no text
  kTruncated,  // cut at max_tokens
  kRefusal,    // refused by the model or a content filter
  kBadText,    // not UTF-8, control characters, more than 1 MiB
  kError,      // the endpoint refuses this request (HTTP 400, 413, 422, ...)
  kNoAnswer,   // no usable answer after all attempts
  kReasoning,  // thoughts without a caption, or, on request, with one
  kNoImage,    // the model saw no image
  kLoop,       // repeats itself
};
std::string_view to_string(AnswerFault fault);

struct Answer {
  AnswerFault fault = AnswerFault::kNone;
  std::string caption;                               // trimmed; empty with a fault
  std::string detail;                                // a sentence about the fault
  std::vector<std::string> cleaned;                  // what was removed from the answer (answer_text.h)
  std::string model;                                 // the name from the endpoint; "" if it gives none
  int64_t prompt_tokens = 0, completion_tokens = 0;  // 0 if the endpoint does not report them
};

// For HTTP 200, also for a stream of events; never throws.
Answer parse_answer(const std::string& body, Reasoning reasoning = Reasoning::kRemove);
std::string shortened(const std::string& text);  // one line of at most about 200 bytes, complete characters

}  // namespace pixart::caption
