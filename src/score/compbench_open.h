// Opens all that a score of T2I-CompBench reads.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "compbench_inputs.h"

namespace pixart::score {

bool asks_vqa(CompBenchCategory category);
bool needs_boxes(CompBenchCategory category);
bool asks_clip(CompBenchCategory category);

// What found the objects of spatial and complex prompts, and made the texts of complex ones.
struct TaggerName {
  std::string name = {}, version = {}, sha256 = {};
};

struct CompBenchInputs {
  std::vector<CategoryPrompts> categories = {};
  BoxRows boxes = {};
  AnswerRows answers = {};
  std::optional<TaggerName> tagger = {};
};

// Nothing if the path is empty, or if it becomes a problem.
std::optional<text::SpacyTagger> open_tagger(const std::filesystem::path& folder, Problems& problems);

// Throws one UserError with every problem; no network is loaded yet.
CompBenchInputs open_compbench(const CompBenchRequest& request);

// What the files say of an image, which they name by its path below the folder, or by its name alone; null if they do not.
const std::vector<Box>* boxes_of(const CompBenchInputs& inputs, const CompBenchRequest& request,
                                 const std::filesystem::path& image);
const double* answer_of(const CompBenchInputs& inputs, const CompBenchRequest& request,
                        const std::filesystem::path& image, const std::string& question);

}  // namespace pixart::score
