#include "caption_words.h"

#include <utf8proc.h>

#include "unicode.h"

namespace pixart::text {
namespace {

enum class Part { kWord, kJoiner, kSoft, kHard };  // soft: blanks, commas, quotes

// Classifies characters beyond ASCII.
Part part_of_wide(char32_t c) {
  switch (utf8proc_category(utf8proc_int32_t(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
      return Part::kWord;
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
      return c == 0x2019 ? Part::kJoiner : Part::kSoft;
    case UTF8PROC_CATEGORY_ZS:
      return Part::kSoft;
    default:
      return c == 0x2010 || c == 0x2011 ? Part::kJoiner : Part::kHard;
  }
}

Part part_of(char32_t c) {
  if (c >= 0x80) return part_of_wide(c);
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return Part::kWord;
  if (c == '\'' || c == '-') return Part::kJoiner;
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == '"' ? Part::kSoft : Part::kHard;
}

void append_lower(std::string& text, char32_t c) {
  if (c < 0x80)
    text += c >= 'A' && c <= 'Z' ? char(c + 32) : char(c);
  else
    append_utf8(text, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
}

size_t split_valid(std::string_view caption, std::vector<CaptionWord>& words) {
  size_t count = 0;
  bool inside = false, hard = false;
  char joiner = 0;  // seen after the current word, and kept only if the word continues
  for (size_t at = 0; at < caption.size();) {
    const char32_t c = next_code_point(caption, at);
    const Part part = part_of(c);
    if (part == Part::kWord) {
      if (!inside) {
        if (count == words.size()) words.emplace_back();
        words[count].text.clear();
        words[count].ends_phrase = hard;
        ++count;
        inside = true;
        hard = false;
      } else if (joiner != 0) {
        words[count - 1].text += joiner;
      }
      joiner = 0;
      append_lower(words[count - 1].text, c);
    } else if (part == Part::kJoiner && inside && joiner == 0) {
      joiner = c == '-' || c == 0x2010 || c == 0x2011 ? '-' : '\'';
    } else {
      // A hyphen that does not join letters is a dash; such an apostrophe is a quote.
      hard |= part == Part::kHard || joiner == '-' || c == '-';
      inside = false;
      joiner = 0;
    }
  }
  return count;
}

}  // namespace

size_t split_words(std::string_view caption, std::vector<CaptionWord>& words) {
  if (is_ascii(caption) || is_utf8(caption)) return split_valid(caption, words);
  return split_valid(replace_invalid_utf8(caption), words);
}

}  // namespace pixart::text
