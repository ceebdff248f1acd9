#include "compbench_table.h"

#include <fmt/format.h>

#include <array>

#include "pixart/score/compbench.h"

namespace pixart::score {
namespace {

struct PublishedRow {
  const char* name;
  std::array<double, 6> values;  // in the order of the categories
};

// Table 3 of PixArt-alpha's paper. An earlier version of it, which most papers cite, has other values: of the benchmark's
// earlier code.
constexpr PublishedRow kPublished[] = {
    {"SD 1.4", {.3765, .3576, .4156, .1246, .3079, .3080}},
    {"SD 2", {.5065, .4221, .4922, .1342, .3096, .3386}},
    {"GORS", {.6603, .4785, .6287, .1815, .3193, .3328}},
    {"DALL-E 2", {.5267, .4747, .5804, .1283, .3078, .2967}},
    {"SDXL", {.5879, .4687, .5299, .2133, .3119, .3237}},
    {"PixArt-alpha (paper)", {.6690, .4927, .6477, .2064, .3197, .3433}},
    {"PixArt-alpha (earlier)", {.6886, .5582, .7044, .2082, .3179, .4117}},
};

std::string line_of(const std::string& name, const std::vector<std::string>& cells) {
  std::string line = fmt::format("{:<24}", name);
  for (const auto& cell : cells) line += fmt::format(" {:>11}", cell);
  return line;
}

std::vector<std::string> own_cells(const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> cells;
  for (const auto& word : words_of_enum<CompBenchCategory>()) {
    cells.emplace_back("-");
    for (const auto& [name, value] : values)
      if (name == "compbench_" + word) cells.back() = fmt::format("{:.4f}", value);
  }
  return cells;
}

}  // namespace

std::vector<std::string> compbench_table(const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> lines = {line_of("", words_of_enum<CompBenchCategory>()),
                                    line_of("these images", own_cells(values))};
  for (const auto& row : kPublished) {
    std::vector<std::string> cells;
    for (const double value : row.values) cells.push_back(fmt::format("{:.4f}", value));
    lines.push_back(line_of(row.name, cells));
  }
  return lines;
}

std::vector<std::string> notes_on_published_rows(bool has_official_questions) {
  std::vector<std::string> notes = {
      "The benchmark's authors say (issues 21 and 40 of its repository) that PixArt-alpha's row is of a checkpoint which "
      "PixArt's authors fine-tuned for the benchmark (GORS) and never released; released weights score lower.",
      "The benchmark fixes seeds and the number of images, but neither size, sampler nor guidance; all of them move the "
      "values."};
  if (!has_official_questions)
    notes.emplace_back(
        "The questions are of this program; published rows have those of spaCy's noun chunks. To compare with them, give "
        "--questions with the chunks of spaCy's en_core_web_sm.");
  return notes;
}

}  // namespace pixart::score
