// `pixart judge`: a vision-language model with an OpenAI-compatible endpoint answers questions about images, and what
// it answers is counted. The values bear the judge's name, never that of a published metric.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/caption/client.h"

namespace pixart::caption {

// Where the questions come from.
enum class JudgeProtocol {
  kPrompt,     // one for each image: whether it shows its prompt
  kQuestions,  // the user's own, with dependencies
  kGenEval,    // made from GenEval's metadata.jsonl next to the images
  kDpg,        // DPG-Bench's file of questions
  kCompBench,  // a description and a score in two turns, as T2I-CompBench's evaluation with language models
};
inline EnumWords<JudgeProtocol> enum_words(JudgeProtocol) {
  return {{"prompts", JudgeProtocol::kPrompt},
          {"questions", JudgeProtocol::kQuestions},
          {"geneval", JudgeProtocol::kGenEval},
          {"dpg", JudgeProtocol::kDpg},
          {"compbench", JudgeProtocol::kCompBench}};
}

struct JudgeOptions {
  std::filesystem::path images;  // folder or another source
  JudgeProtocol protocol = JudgeProtocol::kPrompt;
  std::filesystem::path questions;  // of kQuestions (JSONL or CSV) and kDpg (its CSV)
  std::string category;             // kCompBench: of images that are not in a folder with its name
  std::filesystem::path phrases;    // kCompBench: JSONL {"prompt", "chunks"}
  std::filesystem::path benchmark;  // kCompBench: the benchmark's folder, whose wording is used
  std::string instruction = "{question} Answer with Yes or No.";  // also {prompt} with kPrompt
  std::string endpoint, model;
  std::filesystem::path out;
  int64_t samples = 0;                // answers to each question, in place of the probabilities of one
  std::optional<double> temperature;  // otherwise 0; with samples 1; with kCompBench 0.2
  int64_t max_tokens = 0;             // 0: 8 for probabilities, 512 for texts
  int parts = 0;                // images that a file shows in two columns: 1 or 4; 0: 1, for kDpg an error
  int longest_side = 1024;      // pixels of the image that is sent
  int64_t limit = 0;            // largest number of files that are judged; 0: all
  bool retry_rejected = false;  // asks again where an answer was faulty
  bool insecure = false;
  int64_t page_images = 100;  // at most, in index.html
  ClientOptions client;
};

struct JudgeValue {
  std::string name;  // "score", "category: color"
  double value = 0;
  int64_t count = 0;                            // images, or answers
  std::optional<double> margin = std::nullopt;  // half of the 95 % interval over prompts
};

// asked = answered + unanswered + open
struct JudgeReport {
  std::string name;  // "judge-dpg (model X)"
  std::vector<JudgeValue> values = {};
  int64_t images = 0, questions = 0, answered = 0, unanswered = 0, open = 0;
  std::map<std::string, int64_t> by_reason = {};  // counts of what was not answered
  int64_t items_without_image = 0;                // of a file of questions
  int64_t prompt_tokens = 0, completion_tokens = 0;
  bool is_stopped = false;  // by a signal
};
std::string describe(const JudgeReport& report);         // "40 images, 120 questions: 118 answered; ..."
std::string describe_values(const JudgeReport& report);  // a table; its lines are safe to print

// Asks what was not asked yet and writes
//   <out>/answers.jsonl  one line for each question, in order: {"image", "part", "id", "question", "category",
//                        "depends", "answer", "value", "counts", "reason", "detail", "answers": [{"text", "tokens",
//                        "model"}, ...]}
//   <out>/summary.json   the values, counts and the protocol that they depend on
//   <out>/index.html     answers next to the images
// also when it is stopped or the endpoint fails. <out>/jobs.sqlite holds each answer from the moment it came; the same
// call continues after a kill.
//
// A yes or no is the probability of the first token's spellings of yes, divided by that of yes and no; or, with
// `samples`, the share of answers that say yes. A question counts if the answer is yes and all questions that it depends
// on count. Refused, cut and unclear answers, and images that cannot be read, are unanswered: they are counted by their
// reason and enter no value; `score_lowest` and `score_highest` say what they could change. Faults of the endpoint end
// the call as in caption.h.
//
// Throws UserError with all problems of the questions at once. One process at a time (kFolderOwned).
JudgeReport judge(const JudgeOptions& options);

// Of two judges, or of a judge and people: files answers.jsonl, folders of `judge`, or JSONL and CSV with image, id and
// answer.
struct Agreement {
  int64_t compared = 0, equal = 0, only_first = 0, only_second = 0;
  std::map<std::pair<std::string, std::string>, int64_t> pairs;  // of answers -> count
  std::optional<double> kappa, kappa_margin;  // Cohen (1960); the 95 % interval by the jackknife over images
  std::optional<double> weighted_kappa;       // with quadratic weights, where all answers are numbers
};
Agreement agreement(const std::filesystem::path& first, const std::filesystem::path& second);
std::string describe(const Agreement& agreement);  // a table; its lines are safe to print

}  // namespace pixart::caption
