// Handles the events of an HTML parser as BeautifulSoup does; only effects on its .text are covered.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixart::text {

class HtmlSoup {
 public:
  void data(std::string_view text);
  void cdata(std::string_view text);  // a separate string, which is always part of the text
  void comment();  // also a declaration or processing instruction; ends the string before it
  void start_tag(const std::string& name, bool closes_itself);  // closes_itself: <name/>
  void end_tag(const std::string& name);
  std::string finish();

 private:
  void flush(bool visible);
  void flush();
  void close_to(const std::string& name);

  std::string text_;
  std::string pending_;
  bool has_pending_ = false;
  std::vector<std::string> open_;
  std::unordered_map<std::string, int> open_count_;
  int open_hidden_ = 0;     // open elements without text: script, style, template, rt, rp
  int open_preserved_ = 0;  // open elements that keep white space: pre, textarea
  std::unordered_map<std::string, int> closed_early_;  // <br> closes at once; a later </br> is ignored
};

}  // namespace pixart::text
