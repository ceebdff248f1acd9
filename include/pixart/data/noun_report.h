// Noun statistics for people to read: a table for the terminal, sentences on what captions gained, an HTML
// page.
#pragma once
#include <string>
#include <vector>

#include "pixart/data/noun_statistics.h"

namespace pixart::data {

// What a row is called: its kind; its source too where `rows` has several.
std::string row_label(const NounStatistics& row, const std::vector<NounStatistics>& rows);

// The paper's form, one line a row, and the paper's own rows below.
std::string noun_table(const std::vector<NounStatistics>& rows);

// From rows[before] to each other row: "short -> long: nouns per image 3.1 -> 24.6 (7.9x), ...".
std::vector<std::string> noun_changes(const std::vector<NounStatistics>& rows, size_t before);

struct NounPage {
  std::string title = {};
  std::vector<std::string> notes = {};  // sentences on how was counted
  size_t before = 0, top = 20;          // nouns to list of each row
};
// Table, changes, the curve of all nouns by rank, and the most frequent ones.
std::string noun_page(const std::vector<NounStatistics>& rows, const NounPage& page);

}  // namespace pixart::data
