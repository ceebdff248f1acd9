// Takes the caption out of the text of an answer: thoughts, tokens of the template, fences and words to the
// user are removed; what holds no caption is told by its fault.
#pragma once
#include <string>
#include <vector>

#include "chat.h"

namespace pixart::caption {

struct CleanText {
  AnswerFault fault = AnswerFault::kNone;
  std::string text;                  // trimmed; empty with a fault
  std::string detail;                // a sentence about the fault
  std::vector<std::string> cleaned;  // what was removed: names of RuleKind, "fence"; each once
};

enum class Wrappings { kRemoved, kKept };

// `text` is UTF-8 without control characters. Reasoning is removed, or a fault. Wrappings: words to the user, fences,
// quotes and JSON around a caption.
CleanText clean_answer(const std::string& text, Reasoning reasoning,
                       Wrappings wrappings = Wrappings::kRemoved);

// Whether a text repeats itself without end: its tail, a sentence, or hardly any different words.
bool is_loop(const std::string& text);

}  // namespace pixart::caption
