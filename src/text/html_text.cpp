#include "html_text.h"

#include <algorithm>

#include "html_entities.h"
#include "html_soup.h"
#include "pcre_regex.h"
#include "unicode.h"

namespace pixart::text {
namespace {

struct Refused {};  // html.parser raises AssertionError

constexpr size_t kIncomplete = std::string_view::npos;

// Each start tag without an end is scanned up to the end of the text. This is the limit of such scans.
constexpr int kMaxIncomplete = 1000;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Ignores the case of ASCII letters; `prefix` is in lower case.
bool starts_with_word(std::string_view text, std::string_view prefix) {
  const auto same = [](char c, char p) { return (is_letter(c) ? c | 0x20 : c) == p; };
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(), [&](char p, char c) { return same(c, p); });
}

// The parser of Python 3.11's html.parser with convert_charrefs off, method by method: captions contain
// little correct HTML, and its results for the rest are the reference. parse_*() return the end position or
// kIncomplete.
class HtmlParser {
 public:
  explicit HtmlParser(std::string_view markup) : rest_(markup) {}

  std::string text() {
    go_ahead(false);
    go_ahead(true);
    return soup_.finish();
  }

 private:
  void go_ahead(bool end);
  bool parse_markup(bool end);
  bool parse_number_reference();
  bool parse_name_reference(bool end);
  size_t parse_start_tag();
  size_t end_of_start_tag() const;
  size_t parse_end_tag();
  size_t parse_comment();
  size_t parse_instruction();
  size_t parse_declaration();
  size_t parse_marked_section();
  std::string scan_name(size_t from, size_t& end) const;
  size_t next_markup() const;
  bool starts_with(std::string_view prefix) const { return rest_.substr(at_).starts_with(prefix); }
  std::string_view between(size_t begin, size_t end) const { return rest_.substr(begin, end - begin); }

  std::string_view rest_;  // the text that the previous go_ahead() left
  size_t at_ = 0;
  int num_incomplete_ = 0;   // number of incomplete start tags
  std::string raw_element_;  // inside <script> or <style>: the element's name
  HtmlSoup soup_;
};

size_t HtmlParser::next_markup() const {
  if (raw_element_.empty()) return std::min(rest_.find_first_of("&<", at_), rest_.size());
  static const Regex kScriptEnd("(?i)</\\s*script\\s*>"), kStyleEnd("(?i)</\\s*style\\s*>");
  const auto found = (raw_element_ == "script" ? kScriptEnd : kStyleEnd).search(rest_, at_);
  return found ? found->begin() : kIncomplete;
}

void HtmlParser::go_ahead(bool end) {
  rest_ = rest_.substr(at_);
  at_ = 0;
  while (at_ < rest_.size()) {
    const size_t next = next_markup();
    if (next == kIncomplete) break;
    if (next > at_) soup_.data(between(at_, next));
    at_ = next;
    if (at_ == rest_.size()) break;
    const bool goes_on = rest_[at_] == '<'   ? parse_markup(end)
                         : starts_with("&#") ? parse_number_reference()
                                             : parse_name_reference(end);
    if (!goes_on) break;
  }
  if (end && at_ < rest_.size() && raw_element_.empty()) {
    soup_.data(rest_.substr(at_));
    at_ = rest_.size();
  }
}

bool HtmlParser::parse_markup(bool end) {
  size_t stop = 0;
  if (at_ + 1 < rest_.size() && is_letter(rest_[at_ + 1])) {
    stop = parse_start_tag();
  } else if (starts_with("</")) {
    stop = parse_end_tag();
  } else if (starts_with("<!--")) {
    stop = parse_comment();
  } else if (starts_with("<?")) {
    stop = parse_instruction();
  } else if (starts_with("<!")) {
    stop = parse_declaration();
  } else if (at_ + 1 < rest_.size()) {
    soup_.data("<");
    stop = at_ + 1;
  } else {
    return false;
  }
  if (stop == kIncomplete) {
    if (!end) return false;
    stop = rest_.find('>', at_ + 1);
    if (stop != kIncomplete)
      ++stop;
    else if (stop = rest_.find('<', at_ + 1); stop == kIncomplete)
      stop = at_ + 1;
    soup_.data(between(at_, stop));
  }
  at_ = stop;
  return true;
}

bool HtmlParser::parse_number_reference() {
  static const Regex kReference("\\G&#([0-9]+|[xX][0-9a-fA-F]+)[^0-9a-fA-F]");
  if (const auto found = kReference.search(rest_, at_)) {
    soup_.data(numeric_reference(found->of(rest_, 1)));
    at_ = found->groups[1].end;
    at_ += rest_[at_] == ';';
    return true;
  }
  if (rest_.find(';', at_) != std::string_view::npos) {
    soup_.data("&#");
    at_ += 2;
  }
  return false;
}

bool HtmlParser::parse_name_reference(bool end) {
  static const Regex kReference("\\G&([a-zA-Z][-.a-zA-Z0-9]*)[^a-zA-Z0-9]");
  if (const auto found = kReference.search(rest_, at_)) {
    const std::string_view name = found->of(rest_, 1);
    const auto* entity = find_html_entity(name);
    soup_.data(entity != nullptr ? std::string(entity->text) : std::string("&") += name);
    at_ = found->groups[1].end;
    at_ += rest_[at_] == ';';
    return true;
  }
  const bool last = at_ + 1 >= rest_.size();
  if (!last && is_letter(rest_[at_ + 1])) {
    if (end && at_ + 2 == rest_.size()) ++at_;
    return false;
  }
  if (last) return false;
  soup_.data("&");
  ++at_;
  return true;
}

size_t HtmlParser::end_of_start_tag() const {
  static const Regex kStartTag(
      "\\G<[a-zA-Z][^\\t\\n\\r\\f />\\x00]*(?:[\\s/]*(?:(?<=['\"\\s/])[^\\s/>][^\\s/=>]*"
      "(?:\\s*=+\\s*(?:'[^']*'|\"[^\"]*\"|(?!['\"])[^>\\s]*)\\s*)?(?:\\s|/(?!>))*)*)?\\s*");
  const auto found = kStartTag.search(rest_, at_);
  if (!found || found->end() == rest_.size()) return kIncomplete;
  const size_t stop = found->end();
  const char next = rest_[stop];
  if (next == '>') return stop + 1;
  if (next == '/') return rest_.substr(stop).starts_with("/>") ? stop + 2 : kIncomplete;
  return next == '=' || is_letter(next) ? kIncomplete : stop;
}

size_t HtmlParser::parse_start_tag() {
  static const Regex kName("\\G([a-zA-Z][^\\t\\n\\r\\f />\\x00]*)(?:\\s|/(?!>))*");
  static const Regex kAttribute(
      "\\G((?<=['\"\\s/])[^\\s/>][^\\s/=>]*)(\\s*=+\\s*('[^']*'|\"[^\"]*\"|(?!['\"])[^>\\s]*))?(?:\\s|/"
      "(?!>))*");
  const size_t stop = num_incomplete_ < kMaxIncomplete ? end_of_start_tag() : kIncomplete;
  if (stop == kIncomplete) {
    ++num_incomplete_;
    return stop;
  }
  const auto name = kName.search(rest_, at_ + 1);
  if (!name) return kIncomplete;
  size_t at = name->end();
  while (at < stop) {
    const auto attribute = kAttribute.search(rest_, at);
    if (!attribute) break;
    at = attribute->end();
  }
  const std::string_view close = at < stop ? strip(between(at, stop)) : std::string_view();
  if (close != ">" && close != "/>") {
    soup_.data(between(at_, stop));
    return stop;
  }
  const std::string tag = lower(name->of(rest_, 1));
  soup_.start_tag(tag, close == "/>");
  if (close == ">" && (tag == "script" || tag == "style")) raw_element_ = tag;
  return stop;
}

size_t HtmlParser::parse_end_tag() {
  static const Regex kEndTag("\\G</\\s*([a-zA-Z][-.a-zA-Z0-9:_]*)\\s*>");
  static const Regex kName("\\G([a-zA-Z][^\\t\\n\\r\\f />\\x00]*)(?:\\s|/(?!>))*");
  size_t stop = rest_.find('>', at_ + 1);
  if (stop == kIncomplete) return stop;
  ++stop;
  const auto found = kEndTag.search(rest_, at_);
  const std::string tag = found ? lower(found->of(rest_, 1)) : std::string();
  if (!raw_element_.empty() && tag != raw_element_) {
    soup_.data(between(at_, stop));
    return stop;
  }
  if (found) {
    soup_.end_tag(tag);
    raw_element_.clear();
    return stop;
  }
  const auto name = kName.search(rest_, at_ + 2);
  if (name) {
    soup_.end_tag(lower(name->of(rest_, 1)));
    return rest_.find('>', name->end()) + 1;
  }
  if (!starts_with("</>")) soup_.comment();
  return stop;
}

size_t HtmlParser::parse_comment() {
  static const Regex kClose("--\\s*>");
  const auto close = kClose.search(rest_, at_ + 4);
  if (!close) return kIncomplete;
  soup_.comment();
  return close->end();
}

size_t HtmlParser::parse_instruction() {
  const size_t close = rest_.find('>', at_ + 2);
  if (close == kIncomplete) return close;
  soup_.comment();
  return close + 1;
}

size_t HtmlParser::parse_declaration() {
  if (starts_with("<![")) return parse_marked_section();
  constexpr std::string_view kDoctype = "<!doctype";
  const size_t close =
      rest_.find('>', at_ + (starts_with_word(rest_.substr(at_), kDoctype) ? kDoctype.size() : 2));
  if (close == kIncomplete) return close;
  soup_.comment();
  return close + 1;
}

// The lower-cased name at `from`. Sets `end` to the position after it, or to kIncomplete at the end of the
// text.
std::string HtmlParser::scan_name(size_t from, size_t& end) const {
  static const Regex kName("\\G([a-zA-Z][-_.a-zA-Z0-9]*)\\s*");
  end = kIncomplete;
  if (from == rest_.size()) return {};
  const auto found = kName.search(rest_, from);
  if (!found) throw Refused{};
  if (found->end() != rest_.size()) end = found->end();
  return lower(found->of(rest_, 1));
}

size_t HtmlParser::parse_marked_section() {
  static const Regex kStandardClose("\\]\\s*\\]\\s*>"), kOfficeClose("\\]\\s*>");
  size_t name_end = 0;
  const std::string name = scan_name(at_ + 3, name_end);
  if (name_end == kIncomplete) return kIncomplete;
  const bool standard =
      name == "temp" || name == "cdata" || name == "ignore" || name == "include" || name == "rcdata";
  if (!standard && name != "if" && name != "else" && name != "endif") throw Refused{};
  const auto close = (standard ? kStandardClose : kOfficeClose).search(rest_, at_ + 3);
  if (!close) return kIncomplete;
  const std::string_view content = between(at_ + 3, close->begin());
  constexpr std::string_view kCdata = "cdata[";
  if (starts_with_word(content, kCdata))
    soup_.cdata(content.substr(kCdata.size()));
  else
    soup_.comment();
  return close->end();
}

}  // namespace

std::string html_text(std::string_view markup) {
  try {
    return HtmlParser(markup).text();
  } catch (const Refused&) {
    return std::string(markup);
  }
}

}  // namespace pixart::text
