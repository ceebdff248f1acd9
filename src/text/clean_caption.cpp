#include "pixart/text/clean_caption.h"

#include <algorithm>
#include <vector>

#include "fix_text.h"
#include "html_entities.h"
#include "html_text.h"
#include "pcre_regex.h"
#include "unicode.h"

namespace pixart::text {
namespace {

struct Rule {
  Regex pattern;
  std::string replacement;
};

void apply(const std::vector<Rule>& rules, std::string& caption) {
  for (const Rule& rule : rules) rule.pattern.replace(caption, rule.replacement);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// urllib.parse.unquote_plus(): decodes each run of ASCII separately.
std::string unquote_plus(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  if (text.find('%') == std::string::npos) return text;
  std::string result, bytes;
  const auto flush = [&] {
    result += replace_invalid_utf8(bytes);
    bytes.clear();
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const int high = c == '%' && at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[at + 2]) : -1;
    if (low >= 0) {
      bytes += char(high * 16 + low);
      at += 2;
    } else if (uint8_t(c) < 0x80) {
      bytes += c;
    } else {
      flush();
      result += c;
    }
  }
  flush();
  return result;
}

// A link: "https:" or "www:" with the text that follows directly, or a host name that ends in a usual domain,
// with its path. The plain form \b(?:prefix|host+[.]domain...) takes quadratic time for "a.a.a.a". In a run
// of host characters, only the first possible start of a match needs to be tried, because later ones see
// fewer domains.
Regex link_pattern(const std::string& prefix) {
  const std::string start = prefix + "(?:/{1,3}|[a-zA-Z0-9%])";
  const std::string host = "[a-zA-Z0-9.\\-]";
  const std::string first_boundary = "(?:(?<!" + host + ")|\\G)(?>" + host + "*?\\b)\\K";
  return Regex("\\b" + start + "|" + first_boundary + "(?!" + start + ")" + host +
               "+[.](?:com|co|ru|net|org|edu|gov|it)[\\w/-]*\\b/?(?!@)");
}

// The steps of the released embedder (DeepFloyd IF, PixArt-alpha's T5Embedder.clean_caption), with its
// patterns. A pattern that is written differently matches the same text, in time linear in the caption's
// length.
const std::vector<Rule>& link_rules() {
  static const std::vector<Rule> kRules = {
      {Regex("<person>"), "person"},
      {link_pattern("https?:"), ""},
      {link_pattern("www:"), ""},
  };
  return kRules;
}

const std::vector<Rule>& noise_rules() {
  static const std::vector<Rule> kRules = {
      {Regex("@\\w+\\b"), ""},                // nicknames
      {Regex("[\\x{31c0}-\\x{9fff}]+"), ""},  // CJK strokes up to unified ideographs
      {Regex("[-\\x{58a}\\x{5be}\\x{1400}\\x{1806}\\x{2010}-\\x{2015}\\x{2e17}\\x{2e1a}\\x{2e3a}\\x{2e3b}\\x{"
             "2e40}"
             "\\x{301c}\\x{3030}\\x{30a0}\\x{fe31}\\x{fe32}\\x{fe58}\\x{fe63}\\x{ff0d}]+"),
       "-"},
      {Regex("[`´«»“”¨]"), "\""},
      {Regex("[‘’]"), "'"},
      {Regex("&quot;?"), ""},
      {Regex("&amp"), ""},
      {Regex("\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}"), " "},  // IP addresses
      {Regex("\\d:\\d\\d\\s+$"), ""},                             // article ids
      {Regex("\\\\n"), " "},
      {Regex("#\\d{1,3}\\b"), ""},
      {Regex("#\\d{5,}\\b"), ""},
      {Regex("\\b\\d{6,}\\b"), ""},
      {Regex("(?<!\\S)\\S+\\.(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)"), ""},
      {Regex("[\"']{2,}"), "\""},
      {Regex("\\.{2,}"), " "},
      {Regex("[#®•©™&@·º½¾¿¡§~)(\\]\\[}{|\\\\/*]+"), " "},
      {Regex("(?<!\\s)\\s+\\.\\s+"), " "},
  };
  return kRules;
}

const std::vector<Rule>& word_rules() {
  static const std::vector<Rule> kRules = {
      {Regex("\\b[a-zA-Z]{1,3}\\d{3,15}\\b"), ""},  // jc6640
      {Regex("\\b[a-zA-Z]+\\d+[a-zA-Z]+\\b"), ""},  // jc6640vc
      {Regex("\\b\\d+[a-zA-Z]+\\d+\\b"), ""},       // 6640vc231
      {Regex("(worldwide\\s+)?(free\\s+)?shipping"), ""},
      {Regex("(free\\s)?download(\\sfree)?"), ""},
      {Regex("\\bclick\\b\\s(?:for|on)\\s\\w+"), ""},
      {Regex("\\b(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)(\\simages?)?"), ""},
      {Regex("\\bpage\\s+\\d+\\b"), ""},
      {Regex("\\b\\d*[a-zA-Z]+\\d+[a-zA-Z]+\\d[a-zA-Z\\d]*+\\b"), " "},
      {Regex("\\b\\d+(?:\\.\\d*)?[xх×]\\d+(?:\\.\\d*)?\\b"), ""},  // sizes; the second x is Cyrillic
      {Regex("\\b\\s+:\\s+"), ": "},
      {Regex("(\\D[,./])\\b"), "\\1 "},
      {Regex("\\s+"), " "},
      {Regex("^[\"'](.+)[\"']$"), "\\1"},
      {Regex("^['_,\\-:;]"), ""},
      {Regex("['_,\\-:+]$"), ""},
      {Regex("^\\.\\S+$"), ""},
  };
  return kRules;
}

// this-is-my-cute-cat, this_is_my_cute_cat
void split_joined_words(std::string& caption) {
  constexpr int kMost = 3;
  const auto joins = [](char c) { return c == '-' || c == '_'; };
  if (std::count_if(caption.begin(), caption.end(), joins) > kMost)
    std::replace_if(caption.begin(), caption.end(), joins, ' ');
}

}  // namespace

std::string clean_caption(std::string_view input) {
  std::string caption = lower(strip(unquote_plus(replace_invalid_utf8(input))));
  apply(link_rules(), caption);
  caption = html_text(caption);
  apply(noise_rules(), caption);
  split_joined_words(caption);
  caption = strip(unescape_html(unescape_html(fix_text(caption))));
  apply(word_rules(), caption);
  return std::string(strip(caption));
}

std::string clean_caption_twice(std::string_view caption) { return clean_caption(clean_caption(caption)); }

std::string plain_caption(std::string_view caption) {
  return std::string(strip(lower(replace_invalid_utf8(caption))));
}

}  // namespace pixart::text
