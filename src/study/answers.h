// Answers: one line of JSON each, from people's browsers. None of it is trusted.
#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plan.h"

namespace pixart::study {

constexpr size_t kLongestLine = 2000;  // bytes

struct Answer {
  std::string person = {};
  int64_t trial = 0;
  std::vector<std::vector<int>> order =
      {};  // positions, the best first; a group is a tie; empty: cannot tell
  int64_t milliseconds = 0;
  int64_t seq = 0;  // a person who changes an answer gives the later one a larger number
  bool operator==(const Answer&) const = default;
};

struct ReadAnswer {
  Answer answer = {};
  std::string fault = {};  // why the line is none; "": it is one
};
// {"study": "6f...", "person": "p01", "trial": 5, "order": [[1], [0]], "ms": 5321, "seq": 7}, or "cannot_tell": true
// in place of the order. An order has each position of the screen once.
ReadAnswer read_answer(const std::string& line, const Shape& shape);
// The same answer as text, with nothing else that the line may have held.
nlohmann::ordered_json answer_json(const Answer& answer);

// The newest answers of each person, by screen.
using Answers = std::map<std::string, std::map<int64_t, Answer>>;
struct Collected {
  Answers answers = {};
  std::map<std::string, int64_t> contradicted = {};  // by person: screens with two answers of one number
  std::vector<std::string> remarks = {};             // lines that are not answers
};
// Throws UserError if a file cannot be read.
Collected read_answers(const std::vector<std::filesystem::path>& files, const Shape& shape);

}  // namespace pixart::study
