#include "message_text.h"

#include "pixart/base/words.h"

namespace pixart::caption {

namespace {

bool ends_sentence(std::string_view text) {
  const size_t last = text.find_last_not_of("\"'`)]}*");  // what may close after a full stop
  text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
  for (const std::string_view stop : {".", "!", "?", "\u2026", "\u3002", "\uFF01", "\uFF1F"})
    if (text.ends_with(stop)) return true;
  return false;
}

}  // namespace

std::string followed_by(std::string_view text, std::string_view sentence) {
  std::string result = trimmed(text);
  result.erase(result.find_last_not_of(",;:" + std::string(kBlanks)) + 1);
  if (!result.empty()) result += ends_sentence(result) ? " " : ". ";
  return result.append(sentence);
}

}  // namespace pixart::caption
