#include "compbench_open.h"

#include <algorithm>

#include "attempt.h"
#include "compbench_clip.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"

namespace pixart::score {
namespace fs = std::filesystem;

bool asks_vqa(CompBenchCategory category) {
  return category != CompBenchCategory::kSpatial && category != CompBenchCategory::kNonSpatial;
}
bool needs_boxes(CompBenchCategory category) {
  return category == CompBenchCategory::kSpatial || category == CompBenchCategory::kComplex;
}
bool asks_clip(CompBenchCategory category) {
  return category == CompBenchCategory::kNonSpatial || category == CompBenchCategory::kComplex;
}

namespace {

// The value under the image's path below the folder, or under its name alone; null if there is none.
template <class Rows, class Key>
const auto* row_of(const Rows& rows, const CompBenchRequest& request, const fs::path& image, const Key& key) {
  auto found = rows.find(key(name_below(request, image)));
  if (found == rows.end()) found = rows.find(key(image.filename().string()));
  return found == rows.end() ? nullptr : &found->second;
}

}  // namespace

const std::vector<Box>* boxes_of(const CompBenchInputs& inputs, const CompBenchRequest& request,
                                 const fs::path& image) {
  return row_of(inputs.boxes, request, image, [](const std::string& name) { return name; });
}

const double* answer_of(const CompBenchInputs& inputs, const CompBenchRequest& request, const fs::path& image,
                        const std::string& question) {
  return row_of(inputs.answers, request, image, [&](const std::string& name) {
    return std::pair{name, question};
  });
}

std::optional<text::SpacyTagger> open_tagger(const fs::path& folder, Problems& problems) {
  std::optional<text::SpacyTagger> tagger;
  if (!folder.empty()) attempt(problems, [&] { tagger.emplace(folder); });
  return tagger;
}

namespace {

// The words of categories that need something that the request does not have.
void need(const std::vector<CompBenchCategory>& categories, bool (*is_needed)(CompBenchCategory),
          bool is_there, const char* what, Problems& problems) {
  std::vector<std::string> words;
  for (const auto category : categories)
    if (is_needed(category)) words.push_back(word_of(category));
  if (!words.empty() && !is_there) problems.add(fmt::format("{} need {}", join(words, ", "), what));
}

void check_needs(const CompBenchRequest& request, const std::vector<CompBenchCategory>& categories,
                 Problems& problems) {
  need(categories, asks_vqa, request.vqa || !request.answers.empty(),
       "a BLIP-VQA model (--vqa), or its recorded answers (--answers)", problems);
  need(categories, needs_boxes, !request.boxes.empty(), "the boxes of a detector (--boxes)", problems);
  need(categories, asks_clip, !request.clip.empty(),
       "a CLIP model (--clip), in the published protocol ViT-B/32", problems);
  if (request.vqa && !request.answers.empty())
    problems.add("a model and recorded answers are given: leave one of both out");
  const auto needs = [&](bool (*is_needed)(CompBenchCategory)) {
    return std::any_of(categories.begin(), categories.end(), is_needed);
  };
  if (request.vqa && needs(asks_vqa)) attempt(problems, [&] { check_blip_vqa(*request.vqa); });
  if (!request.clip.empty() && needs(asks_clip))
    check_clip_cosine(request.clip, request.clip_tokenizer, problems);
}

void check_rows(const CompBenchInputs& inputs, const CompBenchRequest& request, Problems& problems) {
  std::vector<std::string> no_boxes, no_answers;
  for (const auto& prompts : inputs.categories)
    for (size_t i = 0; i < prompts.images.size(); ++i) {
      const auto& image = prompts.images[i];
      const size_t prompt = i / size_t(request.images_per_prompt);
      if (image.empty() || prompt >= prompts.parts.size()) continue;
      if (needs_boxes(prompts.category) && !request.boxes.empty() &&
          boxes_of(inputs, request, image) == nullptr)
        no_boxes.push_back(name_below(request, image));
      if (!asks_vqa(prompts.category) || request.answers.empty()) continue;
      for (const auto& question : prompts.parts[prompt].questions)
        if (answer_of(inputs, request, image, question + "?") == nullptr)
          no_answers.push_back(fmt::format("{}: {}?", name_below(request, image), question));
    }
  if (!no_boxes.empty())
    problems.add(
        fmt::format("{} lacks {} images: {}", request.boxes.string(), no_boxes.size(), name_some(no_boxes)));
  if (!no_answers.empty())
    problems.add(fmt::format("{} lacks {} answers: {}", request.answers.string(), no_answers.size(),
                             name_some(no_answers)));
}

}  // namespace

namespace {

// A tagger would make what the file of questions already has.
void check_questions(const CompBenchRequest& request, const QuestionRows& questions, Problems& problems) {
  const std::vector<std::string> tagged = {word_of(CompBenchCategory::kSpatial),
                                           word_of(CompBenchCategory::kComplex)};
  const auto has_same = [&](const auto& row) {
    return contains(tagged, row.first.first) && (row.second.objects || row.second.text);
  };
  if (!request.tagger.empty() && std::any_of(questions.begin(), questions.end(), has_same))
    problems.add(fmt::format("{} has objects or texts, which --tagger makes: leave one of both out",
                             request.questions.string()));
}

}  // namespace

CompBenchInputs open_compbench(const CompBenchRequest& request) {
  Problems problems;
  CompBenchInputs inputs;
  const auto categories = chosen_categories(request, problems);
  check_needs(request, categories, problems);
  std::optional<text::NounChunker> chunker;
  attempt(problems, [&] { chunker.emplace(request.wordnet); });
  const auto tagger = open_tagger(request.tagger, problems);
  if (tagger) inputs.tagger = {tagger->name(), tagger->version(), tagger->sha256()};
  QuestionRows questions;
  if (!request.questions.empty()) questions = read_questions(request.questions, problems);
  check_questions(request, questions, problems);
  for (const auto category : categories) {
    auto prompts = read_category(request.prompts, category, problems);
    find_images(request.images, request.images_per_prompt, prompts, problems);
    if (chunker) fill_parts(*chunker, tagger ? &*tagger : nullptr, prompts);
    if (chunker && !request.questions.empty()) take_questions(questions, prompts, problems);
    inputs.categories.push_back(std::move(prompts));
  }
  if (!request.boxes.empty()) inputs.boxes = read_boxes(request.boxes, problems);
  if (!request.answers.empty()) inputs.answers = read_answers(request.answers, problems);
  check_rows(inputs, request, problems);
  problems.throw_if_any("T2I-CompBench cannot be scored");
  return inputs;
}

}  // namespace pixart::score
