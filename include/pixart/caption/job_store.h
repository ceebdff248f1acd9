// What was captioned so far: one SQLite file. What was put is there after a crash of the process or the
// machine.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixart::caption {

// What became of a sample, for good.
struct Result {
  std::string key;
  std::string caption;         // "" where it was rejected
  std::string reason, detail;  // of a rejection: a name of AnswerFault or data::Reason, and a sentence
  std::string model;           // as the endpoint names it
  int64_t prompt_tokens = 0, completion_tokens = 0;  // of all attempts
  int64_t attempts = 0;
};

// For one thread of one process, on a file system of this machine (SQLite's write-ahead log is not made for
// others).
class JobStore {
 public:
  // `settings` (model, prompt, ...) are kept with the results. A file that was made with others is refused:
  // UserError that names each difference. The settings of `may_change` are replaced instead.
  JobStore(const std::filesystem::path& file, const std::map<std::string, std::string>& settings,
           const std::vector<std::string>& may_change = {});
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  void put(const Result& result);  // replaces an earlier one of the key
  std::optional<Result> find(const std::string& key) const;
  bool has_captions() const;
  void forget_rejected();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::caption
