// Links and answers of `pixart study serve`, in an SQLite file.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "answers.h"

namespace pixart::study {

class Store {
 public:
  // Opens the file, or makes it with a link for each person. Throws UserError if it is of another study.
  Store(const std::filesystem::path& file, const Shape& shape);
  // Opens an existing file to read it.
  explicit Store(const std::filesystem::path& file);
  ~Store();

  const std::string& study() const { return study_; }
  const std::map<std::string, std::string>& people() const {
    return people_;
  }  // by the secret word of their link

  // All or none; they are on the disk when it returns. Repeated answers are stored once. Returns false, and stores
  // nothing, if a person would have far more answers than screens. Throws UserError(kStorage). From any thread.
  bool put(const std::vector<Answer>& answers, const Shape& shape);

  // Calls visit(person, trial, answer as JSON) in the order in which they came; of all people if `person` is "".
  void each(const std::string& person,
            const std::function<void(const std::string&, int64_t, const std::string&)>& visit);

 private:
  struct State;
  void open(const std::filesystem::path& file, int flags);
  void make_tables(const Shape& shape);
  void read_people();
  std::unique_ptr<State> state_;
  std::mutex mutex_;
  std::string study_;
  std::map<std::string, std::string> people_;
};

}  // namespace pixart::study
