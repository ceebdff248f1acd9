// The questions of a judge, read from files or made from prompts. All problems of a file are reported at once.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "judge_answer.h"
#include "pixart/base/error.h"
#include "pixart/caption/judge.h"

namespace pixart::caption {

struct Question {
  int64_t row = 0;  // of the image in the source
  int part = 0;     // of an image file that shows several
  std::string id = {}, text = {};
  std::string opening = {};          // asked before, once for each image; "": nothing
  std::string category = {};         // "": none
  std::string group = {};            // of images of one prompt
  std::vector<size_t> parents = {};  // questions that must count before this one counts
};

struct QuestionSet {
  std::vector<Question> questions = {};
  std::vector<size_t> order = {};          // each question after its parents
  bool has_scores = false;                 // answers are scores, otherwise yes or no
  Scale attribute_scale = {}, scale = {};  // of scores: for single phrases, for whole prompts
  int64_t items_without_image = 0;
  std::string wording = {};  // for the protocol card
};

struct JudgedImage {
  int64_t row = 0;
  std::string key = {};  // path below the folder
};
using JudgedImages = std::vector<JudgedImage>;

// Questions as they are read: with the ids of their parents, and where they are.
struct ReadQuestion {
  Question question = {};
  std::vector<std::string> depends = {};
  std::string place = {};
};
// Adds problems for ids that occur twice for one image, unknown parents and circles. `parts`: images of a file, each of
// which gets all questions.
QuestionSet linked(std::vector<ReadQuestion> read, int parts, Problems& problems);

// A text with {name} replaced by values, in one pass: a value that holds {name} stays as it is.
std::string filled(const std::string& text, const std::map<std::string, std::string>& values);

// Whether the image shows its prompt.
QuestionSet prompt_questions(const JudgedImages& images,
                             const std::function<std::string(const JudgedImage&)>& prompt_of, int parts,
                             Problems& problems);

// JSONL or CSV of the user: image, question; if wanted id, depends (a list, or a text with commas), category.
QuestionSet own_questions(const std::filesystem::path& file, const JudgedImages& images, int parts,
                          Problems& problems);

// DPG-Bench's CSV: item_id, proposition_id, dependency ("0": none), category_broad, question_natural_language. An image
// belongs to the item whose id is its name without the ending.
QuestionSet dpg_questions(const std::filesystem::path& file, const JudgedImages& images, int parts,
                          Problems& problems);

// GenEval: an image a/samples/b.png belongs to <folder>/a/metadata.jsonl.
QuestionSet geneval_questions(const std::filesystem::path& folder, const JudgedImages& images, int parts,
                              Problems& problems);

// T2I-CompBench: images <prompt>_<number>.png.
QuestionSet compbench_questions(const JudgeOptions& options, const JudgedImages& images, Problems& problems);

}  // namespace pixart::caption
