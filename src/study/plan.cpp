#include "plan.h"

#include <algorithm>
#include <bit>
#include <set>

#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/utf8.h"

namespace pixart::study {
using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

constexpr const char *kPlanKind = "pixart study", *kKeyKind = "pixart study key";
constexpr int kVersion = 1;
constexpr int kDeepest = 8;  // of the files: the library goes down by recursion

// 16 hexadecimal digits and an ending.
constexpr size_t kNameDigits = 16;
bool is_file_name(const std::string& name) {
  const std::string ending = name.substr(std::min(name.size(), kNameDigits));
  return name.find_first_not_of("0123456789abcdef") == kNameDigits && (ending == ".png" || ending == ".jpg");
}

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

// Puts `where()` in front of what UserError says, and of what the library throws about other types and missing keys.
template <class Where, class Read>
auto within(Where where, Read read) {
  std::string fault;
  try {
    return read();
  } catch (const json::exception& error) {
    fault = error.what();
  } catch (const UserError& error) {
    fault = error.what();
  }
  throw UserError(fmt::format("{}: {}", where(), printable(fault)));
}

template <class Read>
auto reading(const fs::path& file, Read read) {
  return within(
      [&] {
        return fmt::format("{} was changed or is damaged; use the file as `pixart study make` wrote it",
                           file.string());
      },
      read);
}

template <class... Arguments>
void require(bool holds, fmt::format_string<Arguments...> what, Arguments&&... arguments) {
  if (!holds) throw UserError(fmt::format(what, std::forward<Arguments>(arguments)...));
}

const json& list_in(const json& fields, const char* name) {
  const json& list = fields.at(name);
  require(list.is_array(), "{} is not a list", name);
  return list;
}

std::string text_in(const json& fields, const char* name) {
  std::string read = fields.at(name).get<std::string>();
  require(read.size() <= kLongestText, "{} has more than {} bytes", name, kLongestText);
  return read;
}

// "name" of an object or an entry of a list.
std::string name_of(const json& value, const char* what, std::set<std::string>& taken) {
  std::string name = value.get<std::string>();
  require(is_name(name), "{} has a name that is empty, too long or has control characters", what);
  require(taken.insert(name).second, "{} has the name '{}', which is given twice", what, name);
  return name;
}

int64_t number_in(const json& value, const char* what, int64_t least, int64_t most) {
  const auto number = whole_number(value, least, most);
  require(number.has_value(), "{} is not a whole number from {} to {}", what, least, most);
  return *number;
}

template <class Enum>
Enum word_in(const json& value, const char* what) {
  return enum_of_word<Enum>(value.get<std::string>(), what);
}

std::string id_in(const json& content) {
  std::set<std::string> none;
  return name_of(content.at("study"), "the study", none);
}

std::vector<Question> questions_in(const json& content) {
  std::vector<Question> questions;
  for (const auto& word : list_in(content, "questions")) {
    const auto question = word_in<Question>(word, "question");
    require(!contains(questions, question), "the question {} is asked twice", word_of(question));
    questions.push_back(question);
  }
  require(!questions.empty(), "no question is asked");
  return questions;
}

// Calls read(name, screens) for each person.
template <class Read>
void for_each_person(const json& content, Read read) {
  std::set<std::string> taken;
  int64_t screens = 0;
  for (const auto& fields : list_in(content, "people")) {
    const auto name = name_of(fields.at("name"), "a person", taken);
    const auto& own = list_in(fields, "screens");
    require(!own.empty(), "{} has no screens", name);
    screens += int64_t(own.size());
    require(screens <= kMostScreens, "there are more than {} screens", kMostScreens);
    read(name, own);
  }
  require(!taken.empty(), "people is empty");
}

// --- of the key

uint64_t bits_of(const std::vector<int>& models) {
  uint64_t bits = 0;
  for (const int model : models) bits |= uint64_t{1} << model;
  return bits;
}

void check_images_of(const Trial& trial, const Study& study) {
  const size_t count = study.design == Design::kPairs ? 2 : study.models.size();
  require(trial.models.size() == count, "it has {} images, and each screen of this study {}",
          trial.models.size(), count);
  const auto different = size_t(std::popcount(bits_of(trial.models)));
  const bool is_one = study.design == Design::kPairs && trial.check == Check::kDegraded;
  require(different == (is_one ? 1 : count), "it has images of {} different models in place of {}", different,
          is_one ? 1 : count);
}

void check_attention(const Trial& trial, const std::vector<Trial>& earlier) {
  if (trial.check == Check::kNone) return require(trial.of == -1, "it has a wrong check");
  const auto places = trial.check == Check::kRepeat ? earlier.size() : trial.models.size();
  require(trial.of >= 0 && trial.of < int64_t(places), "it has a wrong check");
  if (trial.check != Check::kRepeat) return;
  const Trial& first = earlier[size_t(trial.of)];
  require(first.check == Check::kNone && first.question == trial.question && first.prompt == trial.prompt &&
              std::ranges::equal(first.models, std::vector<int>(trial.models.rbegin(), trial.models.rend())),
          "it repeats another one than it says");
}

Trial trial_of(const json& fields, const Study& study, const std::vector<Trial>& earlier) {
  Trial trial{
      .question = word_in<Question>(fields.at("question"), "question"),
      .prompt = number_in(fields.at("prompt"), "prompt", 0, int64_t(study.prompts.size()) - 1),
      .check = word_in<Check>(fields.at("check"), "check"),
      .of = number_in(fields.at("of"), "of", -1, std::max<int64_t>(int64_t(earlier.size()), kMostModels))};
  for (const auto& model : list_in(fields, "models"))
    trial.models.push_back(int(number_in(model, "a model", 0, int64_t(study.models.size()) - 1)));
  require(contains(study.questions, trial.question), "the study does not ask about {}",
          word_of(trial.question));
  check_images_of(trial, study);
  check_attention(trial, earlier);
  return trial;
}

// As assign() deals: every comparison to `seen` people.
void check_dealt(const Study& study, int64_t seen) {
  std::vector<uint64_t> shown;
  for (const auto& person : study.people) {
    const auto before = std::ptrdiff_t(shown.size());
    for (const auto& trial : person.trials)
      if (trial.check == Check::kNone)
        shown.push_back(bits_of(trial.models) | uint64_t(trial.prompt) << 16 |
                        uint64_t(trial.question) << 40);
    std::sort(shown.begin() + before, shown.end());
    require(std::adjacent_find(shown.begin() + before, shown.end()) == shown.end(),
            "{} sees a comparison twice", person.name);
  }
  const auto models = int64_t(study.models.size());
  const int64_t sets = study.design == Design::kPairs ? models * (models - 1) / 2 : 1;
  const int64_t comparisons = sets * int64_t(study.prompts.size()) * int64_t(study.questions.size());
  bool is_dealt = int64_t(shown.size()) == comparisons * seen;
  std::ranges::sort(shown);
  const auto each = size_t(seen);
  for (size_t at = 0; is_dealt && at < shown.size(); at += each)
    is_dealt = shown[at] == shown[at + each - 1] && (at == 0 || shown[at - 1] != shown[at]);
  require(is_dealt, "not every comparison is shown to {} people", seen);
}

// The names of the files that screens show come from the seed, and each file of the study is one of them.
void check_files(const json& files, const Study& study, uint64_t seed) {
  const auto number_of = [](int64_t prompt, int model, bool is_degraded) {
    return uint64_t(prompt) << 16 | uint64_t(model) << 1 | uint64_t(is_degraded);
  };
  std::vector<uint64_t> shown;
  for (const auto& person : study.people)
    for (const auto& trial : person.trials)
      for (size_t i = 0; i < trial.models.size(); ++i)
        shown.push_back(number_of(trial.prompt, trial.models[i], is_destroyed(trial, i)));
  std::ranges::sort(shown);
  shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
  require(files.is_object() && files.size() == shown.size(), "images has not the {} files of the screens",
          shown.size());
  for (const auto& [name, fields] : files.items()) {
    const auto prompt = number_in(fields.at("prompt"), "prompt", 0, int64_t(study.prompts.size()) - 1);
    const auto model = std::ranges::find(study.models, fields.at("model").get<std::string>());
    const bool is_degraded = fields.at("destroyed").get<bool>();
    const auto place = int(model - study.models.begin());
    require(model != study.models.end() &&
                std::ranges::binary_search(shown, number_of(prompt, place, is_degraded)) &&
                is_file_name(name) &&
                name.substr(0, kNameDigits) == image_name(study, seed, prompt, place, is_degraded),
            "'{}' is not the name of the image that it should be", name);
  }
}

Study study_of(const json& content) {
  Study study{.id = id_in(content),
              .title = text_in(content, "title"),
              .design = word_in<Design>(content.at("design"), "design"),
              .questions = questions_in(content)};
  std::set<std::string> taken;
  const auto &models = list_in(content, "models"), &prompts = list_in(content, "prompts");
  require(models.size() >= 2 && models.size() <= kMostModels, "there are {} models; a study has 2 to {}",
          models.size(), kMostModels);
  require(!prompts.empty() && prompts.size() <= kMostPrompts, "there are {} prompts; a study has 1 to {}",
          prompts.size(), kMostPrompts);
  for (const auto& name : models) study.models.push_back(name_of(name, "a model", taken));
  for (const auto& prompt : prompts) {
    study.prompts.push_back(prompt.get<std::string>());
    require(study.prompts.back().size() <= kLongestText, "a prompt has more than {} bytes", kLongestText);
  }
  for_each_person(content, [&](const std::string& name, const json& screens) {
    Person person{.name = name};
    for (const auto& screen : screens)
      within([&] { return fmt::format("screen {} of {}", person.trials.size(), name); },
             [&] { person.trials.push_back(trial_of(screen, study, person.trials)); });
    study.people.push_back(std::move(person));
  });
  check_dealt(study, number_in(content.at("seen"), "seen", 1, int64_t(study.people.size())));
  require(content.at("seed").is_number_unsigned(), "seed is not a whole number from 0 on");
  check_files(content.at("images"), study, content.at("seed").get<uint64_t>());
  return study;
}

// --- of plan.json

std::vector<std::string> image_files(const json& content) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const auto& name : list_in(content, "images")) {
    names.push_back(name_of(name, "an image", taken));
    require(is_file_name(names.back()), "the image '{}', which is not a name of `pixart study make`",
            names.back());
  }
  return names;
}

struct PublicScreens {
  Design design = Design::kPairs;
  std::vector<Question> questions = {};
  size_t images = 0;             // of a screen; 0: not yet known
  std::vector<bool> shown = {};  // by image

  // Returns the number of images.
  int read(const json& screen) {
    const auto question = word_in<Question>(screen.at("question"), "question");
    require(contains(questions, question), "the study does not ask about {}", word_of(question));
    require(screen.contains("prompt") == (question == Question::kAlignment),
            "a prompt is told where it is not asked about, or is missing");
    if (screen.contains("prompt")) text_in(screen, "prompt");
    const auto& list = list_in(screen, "images");
    if (images == 0) images = design == Design::kPairs ? 2 : list.size();
    require(list.size() == images && images >= 2 && images <= kMostModels, "it has a wrong number of images");
    std::set<int64_t> different;
    for (const auto& image : list) {
      const auto number = number_in(image, "an image", 0, int64_t(shown.size()) - 1);
      shown[size_t(number)] = true;
      require(different.insert(number).second, "it shows an image twice");
    }
    return int(images);
  }
};

PublicPlan plan_of(const json& content) {
  PublicPlan plan{.shape = {.id = id_in(content)}, .images = image_files(content)};
  for (const char* name : {"title", "consent", "post"}) text_in(content, name);
  PublicScreens all{.design = word_in<Design>(content.at("design"), "design"),
                    .questions = questions_in(content),
                    .shown = std::vector<bool>(plan.images.size())};
  for_each_person(content, [&](const std::string& name, const json& screens) {
    auto& counts = plan.shape.people[name];
    for (const auto& screen : screens)
      within([&] { return fmt::format("screen {} of {}", counts.size(), name); },
             [&] { counts.push_back(all.read(screen)); });
  });
  require(!contains(all.shown, false), "no screen shows one of the images");
  return plan;
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

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= kLongestName && is_utf8(text) &&
         std::ranges::none_of(text, [](char c) { return uint8_t(c) < 0x20; });
}

std::optional<int64_t> whole_number(const json& value, int64_t least, int64_t most) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
  const auto number = value.get<int64_t>();
  return number >= least && number <= most ? std::optional(number) : std::nullopt;
}

Study read_key(const fs::path& file) {
  const json content = parsed(file, kKeyKind);
  return reading(file, [&] { return study_of(content); });
}

Shape shape_of(const Study& study) {
  Shape shape{.id = study.id};
  for (const auto& person : study.people)
    for (const auto& trial : person.trials) shape.people[person.name].push_back(int(trial.models.size()));
  return shape;
}

PublicPlan read_plan(const fs::path& file) {
  const json content = parsed(file, kPlanKind);
  return reading(file, [&] { return plan_of(content); });
}

}  // namespace pixart::study
