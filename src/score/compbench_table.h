// A table of T2I-CompBench's values next to published rows.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace pixart::score {

// Lines. `values`: those of CompBenchResult.
std::vector<std::string> compbench_table(const std::vector<std::pair<std::string, double>>& values);

// Sentences about what limits a comparison with the published rows.
std::vector<std::string> notes_on_published_rows(bool has_official_questions);

}  // namespace pixart::score
