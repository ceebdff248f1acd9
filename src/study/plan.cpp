#include "plan.h"

#include <algorithm>

#include "pixart/base/file.h"

namespace pixart::study {
using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

constexpr const char *kPlanKind = "pixart study", *kKeyKind = "pixart study key";
constexpr int kVersion = 1;
constexpr int kDeepest = 8;  // of the files: the library goes down by recursion

bool is_destroyed(const Trial& trial, size_t position) {
  return trial.check == Check::kDegraded && trial.of == int64_t(position);
}

// Numbers of the image files in the order of their names, which says nothing of the models.
std::map<std::string, int64_t> numbered_images(const Study& study, uint64_t seed) {
  std::map<std::string, int64_t> numbers;
  for (const auto& person : study.people)
    for (const auto& trial : person.trials)
      for (size_t i = 0; i < trial.models.size(); ++i)
        numbers[image_name(study, seed, trial.prompt, trial.models[i], is_destroyed(trial, i))];
  int64_t next = 0;
  for (auto& [name, number] : numbers) number = next++;
  return numbers;
}

ordered_json question_words(const Study& study) {
  ordered_json words = ordered_json::array();
  for (const auto question : study.questions) words.push_back(word_of(question));
  return words;
}

// Prompts are told only where they are shown.
ordered_json screen_json(const Study& study, uint64_t seed, const Trial& trial,
                         const std::map<std::string, int64_t>& numbers) {
  ordered_json images = ordered_json::array();
  for (size_t i = 0; i < trial.models.size(); ++i)
    images.push_back(
        numbers.at(image_name(study, seed, trial.prompt, trial.models[i], is_destroyed(trial, i))));
  ordered_json screen = {{"question", word_of(trial.question)}, {"images", images}};
  if (trial.question == Question::kAlignment) screen["prompt"] = study.prompts[size_t(trial.prompt)];
  return screen;
}

// --- reading

json parsed(const fs::path& file, const char* kind) {
  bool is_deep = false;
  auto content = json::parse(
      read_file(file, kLargestPlan),
      [&](int depth, json::parse_event_t, json&) {
        is_deep = is_deep || depth > kDeepest;
        return !is_deep;
      },
      /*allow_exceptions=*/false);
  if (is_deep || !content.is_object() || content.value("kind", json()) != kind)
    throw UserError(fmt::format("{} is not a file of the kind '{}', which `pixart study make` writes.",
                                file.string(), kind));
  if (content.value("version", json()) != kVersion)
    throw UserError(fmt::format("{}: this program reads version {} of such files.", file.string(), kVersion));
  return content;
}

// Turns what the library throws about other types and missing keys into an error of the user's.
template <class Read>
auto reading(const fs::path& file, Read read) {
  try {
    return read();
  } catch (const json::exception& error) {
    throw UserError(
        fmt::format("{} was changed or is damaged ({}). Use the file as `pixart study make` wrote it.",
                    file.string(), error.what()));
  }
}

void require(bool holds, const fs::path& file, const std::string& what) {
  if (!holds) throw UserError(fmt::format("{} was changed or is damaged: {}.", file.string(), what));
}

Trial trial_of(const json& fields) {
  return {.question = enum_of_word<Question>(fields.at("question").get<std::string>(), "question"),
          .prompt = fields.at("prompt").get<int64_t>(),
          .models = fields.at("models").get<std::vector<int>>(),
          .check = enum_of_word<Check>(fields.at("check").get<std::string>(), "check"),
          .of = fields.at("of").get<int64_t>()};
}

void check_trial(const Study& study, const Person& person, size_t number, const fs::path& file) {
  const Trial& trial = person.trials[number];
  const std::string where = fmt::format("screen {} of {}", number, person.name);
  require(trial.prompt >= 0 && trial.prompt < int64_t(study.prompts.size()), file,
          where + " has no such prompt");
  const auto is_model = [&](int model) { return model >= 0 && model < int(study.models.size()); };
  require(trial.models.size() >= 2 && trial.models.size() <= kMostModels &&
              std::ranges::all_of(trial.models, is_model),
          file, where + " has models that are not there");
  const int64_t most = trial.check == Check::kRepeat ? int64_t(number) : int64_t(trial.models.size());
  require(trial.check == Check::kNone || (trial.of >= 0 && trial.of < most), file,
          where + " has a wrong check");
  if (trial.check == Check::kRepeat)
    require(person.trials[size_t(trial.of)].models.size() == trial.models.size(), file,
            where + " repeats another one");
}

Study study_of(const json& content, const fs::path& file) {
  Study study{.id = content.at("study").get<std::string>(),
              .title = content.at("title").get<std::string>(),
              .design = enum_of_word<Design>(content.at("design").get<std::string>(), "design")};
  for (const auto& word : content.at("questions"))
    study.questions.push_back(enum_of_word<Question>(word.get<std::string>(), "question"));
  study.models = content.at("models").get<std::vector<std::string>>();
  study.prompts = content.at("prompts").get<std::vector<std::string>>();
  for (const auto& fields : content.at("people")) {
    Person person{.name = fields.at("name").get<std::string>()};
    for (const auto& trial : fields.at("screens")) person.trials.push_back(trial_of(trial));
    study.people.push_back(std::move(person));
  }
  require(study.models.size() >= 2 && study.models.size() <= kMostModels, file, "a wrong number of models");
  for (const auto& person : study.people)
    for (size_t i = 0; i < person.trials.size(); ++i) check_trial(study, person, i, file);
  return study;
}

}  // namespace

ordered_json plan_json(const Study& study, const MakeRequest& request, const std::string& ending) {
  const auto numbers = numbered_images(study, request.seed);
  ordered_json images = ordered_json::array(), people = ordered_json::array();
  for (const auto& [name, number] : numbers) images.push_back(name + ending);
  for (const auto& person : study.people) {
    ordered_json screens = ordered_json::array();
    for (const auto& trial : person.trials)
      screens.push_back(screen_json(study, request.seed, trial, numbers));
    people.push_back({{"name", person.name}, {"screens", screens}});
  }
  return {{"kind", kPlanKind},          {"version", kVersion},
          {"study", study.id},          {"title", study.title},
          {"consent", request.consent}, {"design", word_of(study.design)},
          {"post", request.post},       {"questions", question_words(study)},
          {"images", images},           {"people", people}};
}

ordered_json key_json(const Study& study, const MakeRequest& request, const std::string& ending) {
  ordered_json people = ordered_json::array(), images = ordered_json::object();
  for (const auto& person : study.people) {
    ordered_json screens = ordered_json::array();
    for (const auto& trial : person.trials) {
      screens.push_back({{"question", word_of(trial.question)},
                         {"prompt", trial.prompt},
                         {"models", trial.models},
                         {"check", word_of(trial.check)},
                         {"of", trial.of}});
      for (size_t i = 0; i < trial.models.size(); ++i)
        images[image_name(study, request.seed, trial.prompt, trial.models[i], is_destroyed(trial, i)) +
               ending] = {{"model", study.models[size_t(trial.models[i])]},
                          {"prompt", trial.prompt},
                          {"destroyed", is_destroyed(trial, i)}};
    }
    people.push_back({{"name", person.name}, {"screens", screens}});
  }
  return {{"kind", kKeyKind},
          {"version", kVersion},
          {"study", study.id},
          {"title", study.title},
          {"design", word_of(study.design)},
          {"questions", question_words(study)},
          {"seed", request.seed},
          {"seen", request.seen},
          {"models", study.models},
          {"prompts", study.prompts},
          {"people", people},
          {"images", images}};
}

Study read_key(const fs::path& file) {
  const json content = parsed(file, kKeyKind);
  return reading(file, [&] { return study_of(content, file); });
}

Shape shape_of(const Study& study) {
  Shape shape{.id = study.id};
  for (const auto& person : study.people)
    for (const auto& trial : person.trials) shape.people[person.name].push_back(int(trial.models.size()));
  return shape;
}

PublicPlan read_plan(const fs::path& file) {
  const json content = parsed(file, kPlanKind);
  return reading(file, [&] {
    PublicPlan plan{.shape = {.id = content.at("study").get<std::string>()},
                    .images = content.at("images").get<std::vector<std::string>>()};
    for (const auto& person : content.at("people"))
      for (const auto& screen : person.at("screens")) {
        const auto count = screen.at("images").size();
        require(count >= 2 && count <= kMostModels, file, "a screen has a wrong number of images");
        plan.shape.people[person.at("name").get<std::string>()].push_back(int(count));
      }
    return plan;
  });
}

}  // namespace pixart::study
