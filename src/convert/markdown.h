// Texts of users in Markdown and YAML.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pixart::convert {

// Plain text as Markdown that shows it: in one line, also in the cell of a table. Nothing in it becomes a link, HTML,
// a formula or the end of a cell.
std::string markdown(std::string_view text);

// The text as code in one line; for hashes and names of files.
std::string markdown_code(std::string_view text);

// A table of plain texts.
std::string markdown_table(const std::vector<std::string>& head,
                           const std::vector<std::vector<std::string>>& rows);

// A quoted string of YAML.
std::string yaml_text(std::string_view text);

}  // namespace pixart::convert
