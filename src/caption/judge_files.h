// What `pixart judge` writes.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "job_store.h"
#include "judge_scores.h"

namespace pixart::caption {

inline constexpr const char* kAnswers = "answers.jsonl";
inline constexpr const char* kSummary = "summary.json";
inline constexpr const char* kPage = "index.html";

// Everything that the files say.
struct Judged {
  const JudgeOptions& options;
  const QuestionSet& set;
  const std::vector<std::string>& keys;           // of the images, by row
  std::vector<Verdict> verdicts = {};             // of each question
  std::vector<std::vector<Result>> answers = {};  // of each question, its samples
  std::vector<std::string> models = {};           // the names that the endpoint gave
  std::string questions_sha256 = {}, images_fingerprint = {};
  double temperature = 0;
  int64_t max_tokens = 0;
  std::optional<double> top_p = std::nullopt;
};

JudgeReport report_of(const Judged& judged);

// Each completely or not at all. `thumbnail`: a small JPEG of a row's image; "" if it cannot be read.
void write_judged(const Judged& judged, const JudgeReport& report,
                  const std::function<std::string(int64_t row, int part)>& thumbnail);

// The page with answers next to the images.
std::string judge_page(const Judged& judged, const JudgeReport& report,
                       const std::function<std::string(int64_t row, int part)>& thumbnail);

}  // namespace pixart::caption
