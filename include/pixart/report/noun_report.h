// Noun statistics in readable form: a table for the terminal, sentences about the changes, and an HTML page.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/data/noun_statistics.h"

namespace pixart::report {

// The label of a row: its kind, with its source if `rows` has several sources.
std::string row_label(const data::NounStatistics& row, const std::vector<data::NounStatistics>& rows);

// A table in the paper's form, one line per row, followed by the paper's own rows.
std::string noun_table(const std::vector<data::NounStatistics>& rows);

// From rows[before] to each other row: "short -> long: nouns per image 3.1 -> 24.6 (7.9x), ...".
std::vector<std::string> noun_changes(const std::vector<data::NounStatistics>& rows, size_t before);

struct NounPage {
  std::string title = {};
  std::vector<std::string> notes = {};  // sentences about how nouns were counted
  size_t before = 0, top = 20;          // top: how many nouns of each row are listed
};
// The table, the changes, the curve of all nouns by rank, and the most frequent nouns.
std::string noun_page(const std::vector<data::NounStatistics>& rows, const NounPage& page);

// As check_page_file() of report/page.h, of pages of nouns.
void check_noun_page_file(const std::filesystem::path& file);

}  // namespace pixart::report
