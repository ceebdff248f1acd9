// Pieces of HTML that the sections are made of. What comes from a run is escaped here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pixart::report {

using Cells = std::vector<std::string>;  // plain text

struct Table {
  Cells head;
  std::vector<Cells> rows;
  size_t numbers = 0;  // so many columns behind the first hold numbers, which stand to the right
  bool cards = false;  // on narrow screens each row is a list of its own
};

std::string table_html(const Table& table);

// Rows of a name and a text.
std::string facts_html(const std::vector<std::pair<std::string, std::string>>& facts);

std::string paragraph(std::string_view text);
std::string note(std::string_view text);
std::string details(std::string_view summary, std::string_view html);
std::string section(std::string_view id, std::string_view title, std::string_view html);

// With a sign in the place of bytes that are no UTF-8.
std::string as_utf8(std::string text);

std::string base64(std::string_view bytes);

}  // namespace pixart::report
