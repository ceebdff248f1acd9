// The results so far, in one SQLite file. A stored result survives a crash of the process or the machine.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixart::caption {

// The final result of a sample, or of a question about it.
struct Result {
  std::string key;
  // The caption, "" if it was rejected; of a question the record of what came (judge_answer.h), also with a fault.
  std::string text;
  // For a rejection: a name of AnswerFault or data::Reason, and a sentence. For a caption: `detail` names
  // what was removed from the answer, with commas.
  std::string reason, detail;
  std::string model;                                 // the name from the endpoint
  int64_t prompt_tokens = 0, completion_tokens = 0;  // of all attempts
  int64_t attempts = 0;
};

// For one thread of one process, on a local file system (SQLite's write-ahead log does not support others).
class JobStore {
 public:
  // `settings` (model, prompt, ...) are stored with the results. Throws UserError that names each difference
  // if the file was made with other settings. The settings of `may_change` are replaced instead.
  JobStore(const std::filesystem::path& file, const std::map<std::string, std::string>& settings,
           const std::vector<std::string>& may_change = {});
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  void put(const Result& result);  // replaces an earlier result with the same key
  std::optional<Result> find(const std::string& key) const;
  bool has_answers() const;
  void forget(const std::string& key);
  void forget_rejected();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::caption
