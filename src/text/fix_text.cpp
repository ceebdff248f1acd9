#include "fix_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "charmaps.h"
#include "html_entities.h"
#include "pcre_regex.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr int kMaxRounds = 100;

using Ligature = std::pair<char32_t, std::string_view>;
constexpr std::array<Ligature, 22> kLigatures = {{
    {0x132, "IJ"},       {0x133, "ij"},  {0x149, "\u02BCn"}, {0x1C4, "D\u017D"}, {0x1C5, "D\u017E"},
    {0x1C6, "d\u017E"},  {0x1C7, "LJ"},  {0x1C8, "Lj"},      {0x1C9, "lj"},      {0x1CA, "NJ"},
    {0x1CB, "Nj"},       {0x1CC, "nj"},  {0x1F1, "DZ"},      {0x1F2, "Dz"},      {0x1F3, "dz"},
    {0xFB00, "ff"},      {0xFB01, "fi"}, {0xFB02, "fl"},     {0xFB03, "ffi"},    {0xFB04, "ffl"},
    {0xFB05, "\u017Ft"}, {0xFB06, "st"},
}};

// Full-width and half-width forms U+FF01..U+FFEF and the ideographic space.
constexpr char32_t kFirstWide = 0xFF01, kLastWide = 0xFFEF, kWideSpace = 0x3000;

const std::string& usual_width(char32_t c) {
  static const std::vector<std::string> kForms = [] {
    std::vector<std::string> forms;
    for (char32_t wide = kFirstWide; wide <= kLastWide; ++wide) {
      std::string form;
      append_utf8(form, wide);
      forms.push_back(nfkc(form));
    }
    return forms;
  }();
  static const std::string kSpace = " ";
  return c == kWideSpace ? kSpace : kForms[c - kFirstWide];
}

bool is_unwanted_control(char32_t c) {
  return c < 0x9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F || (c >= 0x206A && c < 0x2070) ||
         c == 0xFEFF || (c >= 0xFFF9 && c < 0xFFFD);
}

char32_t straight_quote(char32_t c) {
  if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return '\'';
  return c >= 0x201C && c <= 0x201F ? '"' : c;
}

template <class Write>
std::string rewrite(std::string_view text, Write&& write) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) write(result, next_code_point(text, at));
  return result;
}

std::string fix_ligatures(std::string_view text) {
  return rewrite(text, [](std::string& out, char32_t c) {
    const auto* found =
        std::find_if(kLigatures.begin(), kLigatures.end(), [c](auto& each) { return each.first == c; });
    if (found != kLigatures.end())
      out += found->second;
    else
      append_utf8(out, c);
  });
}

std::string fix_width_and_quotes(std::string_view text) {
  const auto narrow = rewrite(text, [](std::string& out, char32_t c) {
    if (c == kWideSpace || (c >= kFirstWide && c <= kLastWide))
      out += usual_width(c);
    else
      append_utf8(out, c);
  });
  return rewrite(narrow, [](std::string& out, char32_t c) { append_utf8(out, straight_quote(c)); });
}

std::string fix_line_breaks(std::string_view text) {
  bool after_return = false;
  return rewrite(text, [&](std::string& out, char32_t c) {
    const bool already_written = c == '\n' && after_return;
    after_return = c == '\r';
    if (already_written) return;
    append_utf8(out, c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85 ? U'\n' : c);
  });
}

std::string remove_terminal_escapes(std::string text) {
  static const Regex kEscape("\\x1b\\[(?:\\d|;)*[a-zA-Z]");
  if (text.find('\x1b') != std::string::npos) kEscape.replace(text, "");
  return text;
}

std::string remove_control_characters(std::string_view text) {
  return rewrite(text, [](std::string& out, char32_t c) {
    if (!is_unwanted_control(c)) append_utf8(out, c);
  });
}

// ftfy.fix_and_explain(). Surrogates, which it also repairs, cannot occur in valid UTF-8.
std::string fix_segment(std::string text, bool unescape) {
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::string before = text;
    if (unescape) text = unescape_html_strictly(text);
    if (!is_ascii(text))
      text = fix_width_and_quotes(fix_ligatures(fix_c1_controls(fix_encoding(std::move(text)))));
    text = nfc(remove_control_characters(remove_terminal_escapes(fix_line_breaks(text))));
    if (text == before) break;
  }
  return text;
}

}  // namespace

std::string fix_c1_controls(std::string_view text) {
  return rewrite(text, [](std::string& out, char32_t c) {
    append_utf8(out, c >= 0x80 && c <= 0x9F ? char32_t(windows_1252().high[c - 0x80]) : c);
  });
}

std::string fix_text(std::string_view text) {
  std::string result;
  bool unescape = true;  // until a "<" shows that this is real HTML
  for (size_t at = 0; at < text.size();) {
    const size_t line_break = text.find('\n', at);
    const size_t stop = line_break == std::string_view::npos ? text.size() : line_break + 1;
    const std::string_view segment = text.substr(at, stop - at);
    unescape = unescape && segment.find('<') == std::string_view::npos;
    result += fix_segment(std::string(segment), unescape);
    at = stop;
  }
  return result;
}

}  // namespace pixart::text
