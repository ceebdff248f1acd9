#include "html_soup.h"

#include <array>

#include "pixart/base/names.h"

namespace pixart::text {
namespace {

constexpr std::array<std::string_view, 5> kHiddenText = {"rp", "rt", "script", "style", "template"};
constexpr std::array<std::string_view, 2> kPreserved = {"pre", "textarea"};
constexpr std::array<std::string_view, 24> kVoid = {
    "area",     "base", "basefont", "bgsound", "br",     "col",     "command", "embed",
    "frame",    "hr",   "image",    "img",     "input",  "isindex", "keygen",  "link",
    "menuitem", "meta", "nextid",   "param",   "source", "spacer",  "track",   "wbr"};

}  // namespace

void HtmlSoup::data(std::string_view text) {
  pending_ += text;
  has_pending_ = true;
}

void HtmlSoup::cdata(std::string_view text) {
  flush();
  data(text);
  flush(true);
}

void HtmlSoup::comment() { flush(); }

// A string of spaces only, even an empty one, counts as one space or line break.
void HtmlSoup::flush(bool visible) {
  if (has_pending_ && visible) {
    const bool blank = open_preserved_ == 0 && pending_.find_first_not_of(" \n\t\f\r") == std::string::npos;
    text_ += !blank ? pending_ : pending_.find('\n') != std::string::npos ? "\n" : " ";
  }
  pending_.clear();
  has_pending_ = false;
}

void HtmlSoup::flush() { flush(open_hidden_ == 0); }

void HtmlSoup::start_tag(const std::string& name, bool closes_itself) {
  flush();
  open_.push_back(name);
  ++open_count_[name];
  open_hidden_ += contains(kHiddenText, name);
  open_preserved_ += contains(kPreserved, name);
  if (closes_itself) {
    close_to(name);
  } else if (contains(kVoid, name)) {
    close_to(name);
    ++closed_early_[name];
  }
}

void HtmlSoup::end_tag(const std::string& name) {
  if (const auto found = closed_early_.find(name); found != closed_early_.end() && found->second > 0) {
    --found->second;
    return;
  }
  flush();
  close_to(name);
}

void HtmlSoup::close_to(const std::string& name) {
  const auto found = open_count_.find(name);
  if (found == open_count_.end() || found->second == 0) return;
  for (bool done = false; !done;) {
    const std::string closed = std::move(open_.back());
    open_.pop_back();
    --open_count_[closed];
    open_hidden_ -= contains(kHiddenText, closed);
    open_preserved_ -= contains(kPreserved, closed);
    done = closed == name;
  }
}

std::string HtmlSoup::finish() {
  flush();
  return std::move(text_);
}

}  // namespace pixart::text
