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

#include "pixart/caption/chat.h"

namespace pixart::caption {

struct Result {
  std::string key;
  Answer answer;
  int64_t attempts = 0;
};

class JobStore {
 public:
  // `settings` (model, prompt hash, ...) are kept with the captions. A file that was made with others is
  // refused: UserError naming each difference.
  JobStore(const std::filesystem::path& file, const std::map<std::string, std::string>& settings);
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  void put(const Result& result);  // replaces an earlier one of the key
  std::optional<Result> find(const std::string& key) const;
  void forget_rejected();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::caption
