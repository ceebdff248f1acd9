#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pixart/base/words.h"
#include "pixart/report/noun_report.h"

namespace pixart::report {
namespace {

using TextLine = std::array<std::string, 6>;

// Columns are as wide as their longest cell; all but the first are right-aligned.
std::string aligned(const std::vector<TextLine>& lines) {
  std::array<size_t, std::tuple_size_v<TextLine>> widths{};
  for (const auto& line : lines)
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string text;
  for (const auto& line : lines) {
    std::string row = fmt::format("{:<{}}", line[0], widths[0]);
    for (size_t i = 1; i < line.size(); ++i) row += fmt::format("  {:>{}}", line[i], widths[i]);
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

double words_per_caption(const data::NounStatistics& row) {
  return row.captions > 0 ? double(row.words) / double(row.captions) : 0;
}

std::string change(std::string_view what, double from, double to) {
  const std::string times = from > 0 ? fmt::format(" ({:.1f}x)", to / from) : "";
  return fmt::format("{} {:.1f} -> {:.1f}{}", what, from, to, times);
}

}  // namespace

std::string row_label(const data::NounStatistics& row, const std::vector<data::NounStatistics>& rows) {
  const bool one_source =
      std::all_of(rows.begin(), rows.end(), [&](const auto& other) { return other.source == row.source; });
  return one_source || row.source.empty() ? row.kind : row.source + ": " + row.kind;
}

std::string noun_table(const std::vector<data::NounStatistics>& rows) {
  std::vector<TextLine> lines = {{"captions", "images", "valid / distinct nouns", "total nouns",
                                  "nouns per image", "words (5 %, 95 %)"}};
  for (const auto& row : rows)
    lines.push_back({row_label(row, rows), with_thousands(row.images),
                     fmt::format("{} / {} = {:.1f} %", with_thousands(row.valid),
                                 with_thousands(row.distinct), 100 * row.valid_share()),
                     with_thousands(row.total), fmt::format("{:.1f}", row.per_image()),
                     fmt::format("{} ({}, {})", row.words_median, row.words_5, row.words_95)});
  for (const auto& row : data::paper_nouns())
    lines.push_back({"paper: " + row.name, "",
                     fmt::format("{} / {} = {}", row.valid, row.distinct, row.valid_share), row.total,
                     row.per_image, ""});
  return aligned(lines);
}

std::vector<std::string> noun_changes(const std::vector<data::NounStatistics>& rows, size_t before) {
  std::vector<std::string> sentences;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i == before) continue;
    const auto &from = rows[before], &to = rows[i];
    sentences.push_back(fmt::format(
        "{} -> {}: {}, {}, valid nouns {} -> {}, of the distinct ones {:.1f} -> {:.1f} %",
        row_label(from, rows), row_label(to, rows),
        change("nouns per image", from.per_image(), to.per_image()),
        change("words a caption", words_per_caption(from), words_per_caption(to)), with_thousands(from.valid),
        with_thousands(to.valid), 100 * from.valid_share(), 100 * to.valid_share()));
  }
  return sentences;
}

}  // namespace pixart::report
