// The TensorBoard event files of a run, with one TensorBoard run per stage. They are a copy that may be
// incomplete; an error in them never ends the run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "pixart/formats/tensorboard_events.h"

namespace pixart::run {

class TensorBoardFolder {
 public:
  explicit TensorBoardFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Calls work(file) with the stage's file of this process; the first call makes the file. A storage error
  // gives one warning and closes the stage's file; other errors in the data only give warnings.
  void write(const std::string& stage, const std::function<void(formats::TensorBoardEvents&)>& work);
  void sync();

 private:
  void give_up(const std::string& stage, const char* reason);

  std::filesystem::path folder_;
  // By stage; null after an error: the end of the file may be incomplete, and a new file would fail as well.
  std::map<std::string, std::unique_ptr<formats::TensorBoardEvents>> files_;
};

}  // namespace pixart::run
