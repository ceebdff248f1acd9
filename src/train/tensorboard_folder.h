// The event files of a run, one TensorBoard run a stage, as a copy that may be incomplete but never ends the
// run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "pixart/formats/tensorboard_events.h"

namespace pixart::train {

class TensorBoardFolder {
 public:
  explicit TensorBoardFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Calls work(file) with the stage's file of this process, which is made by the first call. After a storage
  // error, of which it warns once, the stage has no file any more; what else is wrong with the data is warned
  // of.
  void write(const std::string& stage, const std::function<void(formats::TensorBoardEvents&)>& work);
  void sync();

 private:
  void give_up(const std::string& stage, const char* reason);

  std::filesystem::path folder_;
  // By stage; null after an error: the end of the file may be torn, and a new one would fail as well.
  std::map<std::string, std::unique_ptr<formats::TensorBoardEvents>> files_;
};

}  // namespace pixart::train
