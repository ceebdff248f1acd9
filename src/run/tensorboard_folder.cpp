#include "tensorboard_folder.h"

#include "pixart/base/error.h"
#include "pixart/base/log.h"

namespace pixart::run {

void TensorBoardFolder::write(const std::string& stage,
                              const std::function<void(formats::TensorBoardEvents&)>& work) {
  try {
    const auto [found, is_new] = files_.try_emplace(stage);
    if (is_new) found->second = std::make_unique<formats::TensorBoardEvents>(folder_ / stage);
    if (found->second) work(*found->second);
  } catch (const UserError& error) {
    if (error.code() == ExitCode::kStorage)
      give_up(stage, error.what());
    else
      log::warning("stage {}: TensorBoard does not show this: {}", stage, error.what());
  }
}

void TensorBoardFolder::sync() {
  for (auto& [stage, file] : files_) {
    if (!file) continue;
    try {
      file->sync();
    } catch (const UserError& error) {
      give_up(stage, error.what());
    }
  }
}

void TensorBoardFolder::give_up(const std::string& stage, const char* reason) {
  files_[stage].reset();
  log::warning(
      "stage {}: {} TensorBoard shows no more of this stage until the command is started again; events.jsonl "
      "goes on.",
      stage, reason);
}

}  // namespace pixart::run
