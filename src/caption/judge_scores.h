// What the answers of a judge add up to.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "judge_questions.h"

namespace pixart::caption {

enum class VerdictState { kAnswered, kUnanswered, kOpen };

// The answer to one question, of all its samples.
struct Verdict {
  VerdictState state = VerdictState::kOpen;
  std::string label = {};                // "yes", "no" or a score
  double value = 0;                      // of yes or no: 0 to 1; of a score: percent
  double mass = 1;                       // of the probabilities of yes and no
  std::string reason = {}, detail = {};  // why it is unanswered

  bool is_yes() const { return state == VerdictState::kAnswered && value >= 0.5; }
};

enum class Counts { kNo, kYes, kUnknown };

// Whether each question counts: its answer is yes, and all that it depends on count. Unknown if that depends on what is
// not answered. All questions are yes or no.
std::vector<Counts> counted(const QuestionSet& set, const std::vector<Verdict>& verdicts);

// The values of a protocol, in percent. Images with an open question enter none.
std::vector<JudgeValue> judge_values(JudgeProtocol protocol, const QuestionSet& set,
                                     const std::vector<Verdict>& verdicts);

}  // namespace pixart::caption
