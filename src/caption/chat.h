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
  std::optional<double> top_p = std::nullopt;
  std::optional<int64_t> seed = std::nullopt;  // of the server's sampling
  int64_t top_logprobs = 0;  // how many tokens' probabilities are asked for at each place; 0: none
};

// The body of POST <endpoint>/chat/completions: the image as a data URL of a JPEG, then the prompt. `turns`: of the user
// and the model, one after the other, the first and the last are the user's; the image is in the first.
std::string request_body(const ChatOptions& options, const std::vector<std::string>& turns,
                         std::string_view jpeg);
std::string request_body(const ChatOptions& options, const std::string& prompt, std::string_view jpeg);
// The same request with the name max_completion_tokens, which newer interfaces have for max_tokens. Nothing
// if it has that name already.
std::optional<std::string> with_completion_tokens(const std::string& body);
// The same request without a temperature, or for a stream of events. Nothing if it is so already.
std::optional<std::string> without_temperature(const std::string& body);
std::optional<std::string> as_stream(const std::string& body);
// The same with at most 5 probabilities for each token, which is the limit of some interfaces.
std::optional<std::string> with_few_logprobs(const std::string& body);

// The form in which an image is sent: a JPEG that is not larger than this. The defaults are those of the released
// captioning script.
struct SentImage {
  int shorter = 400, longer = 800;  // pixels, at most
  int quality = 90;
};
std::string image_to_send(const Image& image, const SentImage& form = {});

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
  // Of a judge's answers:
  kNotYesNo,          // neither yes nor no
  kNoScore,           // no score of the scale
  kNoProbabilities,   // none of the first token
  kBadProbabilities,  // that are none, or contradict the text
};
std::string_view to_string(AnswerFault fault);

struct Answer {
  AnswerFault fault = AnswerFault::kNone;
  std::string text;                                  // the caption, trimmed; empty with a fault
  std::string detail;                                // a sentence about the fault
  std::vector<std::string> cleaned;                  // what was removed from the answer (answer_text.h)
  std::string model;                                 // the name from the endpoint; "" if it gives none
  int64_t prompt_tokens = 0, completion_tokens = 0;  // 0 if the endpoint does not report them
};

// The text of an answer as it came, for HTTP 200, also for a stream of events; never throws. `may_be_cut`: a text that
// ends at max_tokens is taken.
Answer parse_message(const std::string& body, bool may_be_cut = false);
// The same without thoughts, tokens of the template and words to the user.
Answer parse_answer(const std::string& body, Reasoning reasoning = Reasoning::kRemove);
std::string shortened(const std::string& text);  // one line of at most about 200 bytes, complete characters

}  // namespace pixart::caption
