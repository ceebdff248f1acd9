// What each person of a study sees. The plan, which people get, does not say which model drew an image; the
// key does.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pixart/study/make.h"

namespace pixart::study {

constexpr int kMostModels = 12;
constexpr size_t kMostPrompts = 100'000;
constexpr int64_t kMostScreens = 2'000'000;             // of all people together
constexpr size_t kLongestName = 100;                    // bytes
constexpr size_t kLongestText = 100'000;                // bytes of a prompt, the title and the consent
constexpr uint64_t kLargestPlan = uint64_t{256} << 20;  // bytes of plan.json, the page and the key

// Screens that test whether a person looks at the images.
enum class Check {
  kNone,
  kRepeat,    // an earlier screen with the images in the opposite order
  kDegraded,  // one image was destroyed
};
inline EnumWords<Check> enum_words(Check) {
  return {{"none", Check::kNone}, {"repeat", Check::kRepeat}, {"degraded", Check::kDegraded}};
}

// A screen.
struct Trial {
  Question question = Question::kQuality;
  int64_t prompt = 0;
  std::vector<int> models = {};  // of the images, by position
  Check check = Check::kNone;
  int64_t of = -1;  // kRepeat: the earlier screen of the person; kDegraded: position of the destroyed image
};

struct Person {
  std::string name;  // "p01"
  std::vector<Trial> trials = {};
};

// Contents of the key.
struct Study {
  std::string id, title;
  Design design = Design::kPairs;
  std::vector<Question> questions = {};
  std::vector<std::string> models = {}, prompts = {};
  std::vector<Person> people = {};
};

// assignment.cpp: deals the comparisons to people. Every comparison is seen by `seen` people; the screens of two people
// differ by at most one comparison. Over all screens of a question each model of a pair is on the left as often as
// on the right, within one (in rankings: at each position equally often).
std::vector<Person> assign(const MakeRequest& request);

// The name of an image file, which only somebody who knows the seed can compute.
std::string image_name(const Study& study, uint64_t seed, int64_t prompt, int model, bool is_degraded);

// plan.cpp

// 1 to kLongestName bytes of UTF-8 without control characters: what a model, a person and a study may be called.
bool is_name(const std::string& text);
// Empty unless `value` is a whole number from `least` to `most`.
std::optional<int64_t> whole_number(const nlohmann::json& value, int64_t least, int64_t most);

nlohmann::ordered_json plan_json(const Study& study, const MakeRequest& request, const std::string& ending);
nlohmann::ordered_json key_json(const Study& study, const MakeRequest& request, const std::string& ending);
// Everything that the key says is checked here and nowhere else: numbers, names, the images of each screen, the checks of
// attention, who sees which comparison, and the names of the files. Throws UserError that names what is wrong.
Study read_key(const std::filesystem::path& file);

// How many images each screen of each person has: what answers are checked against.
struct Shape {
  std::string id;
  std::map<std::string, std::vector<int>> people = {};
};
Shape shape_of(const Study& study);
// Of plan.json, with the names of its image files. Checked like the key. Throws UserError.
struct PublicPlan {
  Shape shape;
  std::vector<std::string> images = {};
};
PublicPlan read_plan(const std::filesystem::path& file);

}  // namespace pixart::study
