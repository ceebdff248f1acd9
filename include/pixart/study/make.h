// User studies: a folder that people open in their browser, and a key that says which model drew what. Which
// images a person sees, on which side and in which order, is a pure function of the seed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::study {

enum class Design {
  kPairs,    // a screen shows the images of two models
  kRanking,  // a screen shows the images of all models, as in the paper's study
};
inline EnumWords<Design> enum_words(Design) {
  return {{"pairs", Design::kPairs}, {"ranking", Design::kRanking}};
}

// Asked on separate screens: all of the first question, then all of the second.
enum class Question {
  kQuality,    // which image is better; the prompt is not shown
  kAlignment,  // which image fits the prompt better
};
inline EnumWords<Question> enum_words(Question) {
  return {{"quality", Question::kQuality}, {"alignment", Question::kAlignment}};
}

struct Contestant {
  std::string name;
  std::vector<std::filesystem::path> images = {};  // of the prompts, in their order
};

struct MakeRequest {
  std::vector<Contestant> models = {};  // 2 ... 12
  std::vector<std::string> prompts = {};
  Design design = Design::kPairs;
  std::vector<Question> questions = {Question::kQuality, Question::kAlignment};
  int64_t people = 10;
  int64_t seen = 3;                   // people who see each comparison
  int64_t repeats = 3, degraded = 4;  // attention checks of a person, for each question
  uint64_t seed = 0;
  std::string title = {}, consent = {};      // consent: "" for the usual text
  std::string post = {};                     // address that takes the answers; "": none
  std::optional<int> jpeg = {};              // quality; unset: PNG, without loss
  std::filesystem::path out = {}, key = {};  // folder and file; neither exists
};

struct Made {
  int64_t comparisons = 0;     // different ones, for each question
  int64_t fewest_screens = 0;  // of a person, with the checks
  int64_t most_screens = 0;
  int64_t images = 0;  // files
};

// Writes index.html, plan.json and images/ below `out`, and the key. Images are decoded and written anew, so that no
// metadata says who drew them. Throws one UserError that names every missing or damaged image, before
// anything is written.
Made make_study(const MakeRequest& request);

}  // namespace pixart::study
