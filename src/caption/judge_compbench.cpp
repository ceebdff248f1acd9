#include "judge_compbench.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "judge_questions.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"

namespace pixart::caption {
namespace fs = std::filesystem;

namespace {

constexpr const char* kProgram = "MLLM_eval/ShareGPT4V-CoT_eval/Share_eval.py";
constexpr uint64_t kLargestProgram = uint64_t{1} << 20;
// What the benchmark's program makes of the scores, in percent.
const Scale kAttributeScale = {{1, 10}, {2, 20}, {3, 75}, {4, 100}};
const Scale kScale = {{1, 20}, {2, 40}, {3, 60}, {4, 80}, {5, 100}};

using Phrases = std::map<std::string, std::vector<std::string>>;  // by prompt

Phrases read_phrases(const fs::path& file, Problems& problems) {
  Phrases phrases;
  data::read_rows(file, [&](data::TableRow& row) {
    const auto prompt = row.fields.find("prompt"), chunks = row.fields.find("chunks");
    std::vector<std::string> texts;
    if (row.fault.empty() && chunks != row.fields.end() && chunks->is_array())
      for (const auto& chunk : *chunks)
        if (chunk.is_string()) texts.push_back(trimmed(chunk.get<std::string>()));
    std::erase(texts, "");
    if (texts.empty() || prompt == row.fields.end() || !prompt->is_string())
      problems.add(fmt::format("{}, line {}: give a prompt and its chunks", file.string(), row.line));
    else
      phrases.emplace(trimmed(prompt->get<std::string>()), std::move(texts));
    return true;
  });
  return phrases;
}

// The part of a file name <prompt>_<number> before its last _.
std::string prompt_of_name(const std::string& key) {
  const std::string name = fs::path(key).stem();
  const size_t end = name.rfind('_');
  const bool is_numbered = end != std::string::npos && end + 1 < name.size() &&
                           name.find_first_not_of("0123456789", end + 1) == std::string::npos;
  return is_numbered ? name.substr(0, end) : std::string();
}

std::optional<CompBenchPart> part_of_folder(const std::string& key) {
  const std::string folder = fs::path(key).begin()->string();
  for (const auto& [word, part] : enum_words(CompBenchPart{}))
    if (folder == word) return part;
  return std::nullopt;
}

std::string without_article(const std::string& phrase) {
  for (const std::string_view article : {"a ", "an ", "the "})
    if (ascii_lower(phrase).starts_with(article)) return phrase.substr(article.size());
  return phrase;
}

class Making {
 public:
  Making(const JudgeOptions& options, Problems& problems) : options_(options), problems_(problems) {
    if (!options.category.empty()) part_ = enum_of_word<CompBenchPart>(options.category, "--category");
    if (!options.phrases.empty()) phrases_ = read_phrases(options.phrases, problems);
    if (!options.benchmark.empty()) program_ = read_file(options.benchmark / kProgram, kLargestProgram);
  }

  void add(const JudgedImage& image) {
    const auto part = part_ ? part_ : part_of_folder(image.key);
    const std::string prompt = prompt_of_name(image.key);
    if (!part)
      return problems_.add(image.key +
                           ": its folder is not named like a part of the benchmark: give --category");
    if (prompt.empty())
      return problems_.add(image.key + ": its name is not <prompt>_<number>, such as a red ball_000042.png");
    if (has_attributes(*part))
      add_phrases(image, *part, prompt);
    else
      add_question(image, *part, "1", {{"prompt", prompt}}, prompt);
  }

  std::vector<ReadQuestion> take() { return std::move(read_); }

 private:
  void add_phrases(const JudgedImage& image, CompBenchPart part, const std::string& prompt) {
    const auto found = phrases_.find(prompt);
    if (found == phrases_.end()) {
      const std::string where = options_.phrases.empty() ? "give --phrases, a file with its noun phrases"
                                                         : options_.phrases.string() + " has no such prompt";
      return problems_.add(fmt::format("{}: {}", image.key, where));
    }
    int number = 0;
    for (const auto& phrase : found->second) {
      const std::string own = without_article(phrase);
      const size_t blank = own.rfind(' ');
      const std::string noun = blank == std::string::npos ? own : own.substr(blank + 1);
      const std::string attribute = blank == std::string::npos ? own : own.substr(0, blank);
      add_question(image, part, std::to_string(++number),
                   {{"phrase", phrase}, {"noun", noun}, {"attribute", attribute}}, prompt);
    }
  }

  void add_question(const JudgedImage& image, CompBenchPart part, const std::string& id,
                    std::map<std::string, std::string> values, const std::string& prompt) {
    const CompBenchWording& wording = wording_of(part);
    values["category"] = word_of(part);
    read_.push_back({.question = {.row = image.row,
                                  .id = id,
                                  .text = filled(wording.query, values),
                                  .opening = filled(wording.opening, values),
                                  .category = word_of(part),
                                  .group = word_of(part) + "/" + prompt},
                     .place = image.key});
  }

  const CompBenchWording& wording_of(CompBenchPart part) {
    if (const auto found = wordings_.find(part); found != wordings_.end()) return found->second;
    CompBenchWording wording = own_wording(part);
    if (!program_.empty()) try {
        wording = wording_of_program(program_, part);
      } catch (const UserError& error) {
        problems_.add(fmt::format("{}: {}", (options_.benchmark / kProgram).string(), error.what()));
      }
    return wordings_.emplace(part, std::move(wording)).first->second;
  }

  const JudgeOptions& options_;
  Problems& problems_;
  std::optional<CompBenchPart> part_ = std::nullopt;  // of all images
  Phrases phrases_;
  std::string program_;
  std::map<CompBenchPart, CompBenchWording> wordings_;
  std::vector<ReadQuestion> read_;
};

}  // namespace

QuestionSet compbench_questions(const JudgeOptions& options, const JudgedImages& images, Problems& problems) {
  Making making(options, problems);
  for (const auto& image : images) making.add(image);
  QuestionSet set = linked(making.take(), std::max(1, options.parts), problems);
  set.has_scores = true;
  set.attribute_scale = kAttributeScale;
  set.scale = kScale;
  set.wording = "pixart: a description, then a score";
  if (!options.benchmark.empty()) set.wording = fmt::format("the benchmark's copy of {}", kProgram);
  return set;
}

}  // namespace pixart::caption
