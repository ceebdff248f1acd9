// Builds the HTML parts of the sections. Texts from a run are escaped here.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::report {

using Cells = std::vector<std::string>;  // plain text

struct Table {
  Cells head;
  std::vector<Cells> rows;
  size_t numbers = 0;  // how many columns after the first hold numbers, which are right-aligned
  bool cards = false;  // on narrow screens each row is a list of its own
};

std::string table_html(const Table& table);

// Rows with a name and a text.
std::string facts_html(const std::vector<std::pair<std::string, std::string>>& facts);

std::string paragraph(std::string_view text);
std::string note(std::string_view text);
std::string details(std::string_view summary, std::string_view html);
std::string section(std::string_view id, std::string_view title, std::string_view html);

// Throws UserError if `file` is a folder, or a file whose text lacks one of `marks`, which all pages of `command`
// have: such a file is not replaced.
void require_own_page(const std::filesystem::path& file, const std::vector<std::string_view>& marks,
                      std::string_view command, std::string_view kind = "page");

}  // namespace pixart::report
