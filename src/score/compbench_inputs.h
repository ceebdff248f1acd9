// What a score of T2I-CompBench reads: prompts, the names of images, questions, boxes and recorded answers. All faults of
// these files become problems.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compbench_rules.h"
#include "pixart/base/error.h"
#include "pixart/score/compbench.h"
#include "pixart/text/spacy_tagger.h"

namespace pixart::score {

// What is asked about the images of one prompt.
struct PromptParts {
  std::vector<std::string> questions = {};  // chunks
  std::optional<TwoObjects> objects = {};   // of the spatial rule
  std::string text = {};                    // for CLIP
};

struct CategoryPrompts {
  CompBenchCategory category = CompBenchCategory::kColor;
  std::vector<std::string> prompts = {};           // in the order of the file
  std::vector<ComplexKind> kinds = {};             // of complex: one for each prompt
  std::vector<PromptParts> parts = {};             // one for each prompt
  std::vector<std::filesystem::path> images = {};  // images_per_prompt for each prompt, in order
  std::string sha256 = {};                         // of the file of prompts
};

// The categories of the request: by default those that have a folder in `images`.
std::vector<CompBenchCategory> chosen_categories(const CompBenchRequest& request, Problems& problems);

// The prompts of CATEGORY_val.txt in the order of the file. Each is a line, up to a tab.
CategoryPrompts read_category(const std::filesystem::path& folder, CompBenchCategory category,
                              Problems& problems);

// Finds images_per_prompt images of each prompt: number i belongs to prompt i / images_per_prompt, whose text is in front of
// the first _ of the name. Images that are missing, doubled, of no prompt or of another one become problems.
void find_images(const std::filesystem::path& folder, int64_t images_per_prompt, CategoryPrompts& prompts,
                 Problems& problems);

// From the words of the prompts; objects of spatial and complex prompts, and the texts of complex ones, by the tagger if there
// is one.
void fill_parts(const text::NounChunker& chunker, const text::SpacyTagger* tagger, CategoryPrompts& prompts);

struct QuestionRow {
  std::vector<std::string> chunks = {};
  std::optional<TwoObjects> objects = {};
  std::optional<std::string> text = {};
};
using QuestionRows = std::map<std::pair<std::string, std::string>, QuestionRow>;  // by category and prompt
QuestionRows read_questions(const std::filesystem::path& file, Problems& problems);
// Those of the file in place of fill_parts(); a prompt that the file does not have is a problem.
void take_questions(const QuestionRows& rows, CategoryPrompts& prompts, Problems& problems);

// By the path below the folder of images ("spatial/samples/..."), or by the name of the file alone.
using BoxRows = std::map<std::string, std::vector<Box>>;
BoxRows read_boxes(const std::filesystem::path& file, Problems& problems);

// By image, as above, and question.
using AnswerRows = std::map<std::pair<std::string, std::string>, double>;
AnswerRows read_answers(const std::filesystem::path& file, Problems& problems);

// "color/samples/a cat_000000.png"
std::string name_below(const CompBenchRequest& request, const std::filesystem::path& image);

}  // namespace pixart::score
