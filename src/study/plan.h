// What each person of a study sees. The plan, which people get, does not say which model drew an image; the
// key does.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pixart/study/make.h"

namespace pixart::study {

constexpr int kMostModels = 12;
constexpr uint64_t kLargestPlan = uint64_t{256} << 20;  // bytes of plan.json and of the key

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
nlohmann::ordered_json plan_json(const Study& study, const MakeRequest& request, const std::string& ending);
nlohmann::ordered_json key_json(const Study& study, const MakeRequest& request, const std::string& ending);
// Throws UserError that names what is wrong in the file.
Study read_key(const std::filesystem::path& file);

// How many images each screen of each person has: what answers are checked against.
struct Shape {
  std::string id;
  std::map<std::string, std::vector<int>> people = {};
};
Shape shape_of(const Study& study);
// Of plan.json, with the names of its image files. Throws UserError.
struct PublicPlan {
  Shape shape;
  std::vector<std::string> images = {};
};
PublicPlan read_plan(const std::filesystem::path& file);

}  // namespace pixart::study
