#include "unicode.h"

#include <utf8proc.h>

#include <cstdlib>

#include "pcre_regex.h"
#include "pixart/base/error.h"

namespace pixart::text {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2, kCapitalDottedI = 0x130;

// utf8proc sorts the marks on one letter in quadratic time. At most this many are sorted at once, because of
// hostile text.
constexpr int kMaxMarks = 1000;

std::string normalized(std::string_view text, int options) {
  utf8proc_uint8_t* result = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), utf8proc_ssize_t(text.size()),
                   &result, utf8proc_option_t(options | UTF8PROC_STABLE));
  PIXART_CHECK(length >= 0, "utf8proc: {}", utf8proc_errmsg(length));
  std::string copy(reinterpret_cast<char*>(result), size_t(length));
  std::free(result);
  return copy;
}

std::string normalized_in_parts(std::string_view text, int options) {
  if (is_ascii(text)) return std::string(text);
  std::string result;
  size_t done = 0;
  int num_marks = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const auto c = utf8proc_int32_t(next_code_point(text, at));
    num_marks = c >= 0x300 && utf8proc_get_property(c)->combining_class != 0 ? num_marks + 1 : 0;
    if (num_marks <= kMaxMarks) continue;
    result += normalized(text.substr(done, start - done), options);
    done = start;
    num_marks = 1;
  }
  return result += normalized(text.substr(done), options);
}

// Whether the capital sigma at [at, at + 2) ends a word, by Unicode's Final_Sigma as in CPython.
bool is_final_sigma(std::string_view text, size_t at) {
  static const Regex kIgnorable("\\G\\p{Case_Ignorable}"), kCased("\\G\\p{Cased}");
  const auto previous = [&](size_t i) {
    do --i;
    while (i > 0 && (uint8_t(text[i]) & 0xC0) == 0x80);
    return i;
  };
  bool cased_before = false;
  for (size_t i = at; i > 0;) {
    i = previous(i);
    if (kIgnorable.search(text, i)) continue;
    cased_before = kCased.search(text, i).has_value();
    break;
  }
  if (!cased_before) return false;
  for (size_t i = at + 2; i < text.size();) {
    const auto ignorable = kIgnorable.search(text, i);
    if (!ignorable) return !kCased.search(text, i);
    i = ignorable->end();
  }
  return true;
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& at) {
  const uint8_t lead = uint8_t(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t code_point = lead & (0x3F >> more);
  for (int i = 0; i < more; ++i) code_point = code_point << 6 | (uint8_t(text[at++]) & 0x3F);
  return code_point;
}

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view strip_left(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    if (!is_space(next_code_point(text, at))) return text.substr(start);
  }
  return {};
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (uint8_t(text[start]) & 0xC0) == 0x80) --start;
    size_t at = start;
    if (!is_space(next_code_point(text, at))) break;
    text = text.substr(0, start);
  }
  return text;
}

std::string_view strip(std::string_view text) { return strip_left(strip_right(text)); }

std::string lower(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c < 0x80)
      result += c >= 'A' && c <= 'Z' ? char(c + 32) : char(c);
    else if (c == kCapitalSigma)
      append_utf8(result, is_final_sigma(text, start) ? kFinalSigma : kSmallSigma);
    else if (c == kCapitalDottedI)
      result += "i\u0307";
    else
      append_utf8(result, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
  }
  return result;
}

std::string nfc(std::string_view text) { return normalized_in_parts(text, UTF8PROC_COMPOSE); }
std::string nfkc(std::string_view text) {
  return normalized_in_parts(text, UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
}
std::string nfd(std::string_view text) { return normalized_in_parts(text, UTF8PROC_DECOMPOSE); }

}  // namespace pixart::text
