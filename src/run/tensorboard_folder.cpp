#include "tensorboard_folder.h"

#include <utility>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"

namespace pixart::run {

namespace {

constexpr size_t kMostWaiting = 10000;

}  // namespace

void TensorBoardFolder::write(const std::string& stage, Work work) {
  Stage& of = stages_[stage];
  of.waiting.push_back(std::move(work));
  if (of.waiting.size() > kMostWaiting) {
    of.waiting.pop_front();
    ++of.dropped;
  }
  if (monotonic_seconds() >= of.not_before) work_on(stage, of);
}

void TensorBoardFolder::work_on(const std::string& name, Stage& stage) {
  while (!stage.waiting.empty()) {
    try {
      if (!stage.file) stage.file = std::make_unique<formats::TensorBoardEvents>(folder_ / name);
      stage.waiting.front()(*stage.file);
    } catch (const UserError& error) {
      if (error.code() != ExitCode::kBadInput) return fail(name, stage, error.what());
      log::warning("stage {}: TensorBoard does not show this: {}", name, error.what());
    }
    stage.waiting.pop_front();
  }
  if (!std::exchange(stage.has_failed, false)) return;
  log::info("stage {}: TensorBoard's file is written again{}", name,
            stage.dropped > 0 ? fmt::format("; {} older parts are lost", stage.dropped) : "");
  stage.dropped = 0;
}

void TensorBoardFolder::sync() {
  for (auto& [name, stage] : stages_) {
    if (!stage.file) continue;
    try {
      stage.file->sync();
    } catch (const UserError& error) {
      fail(name, stage, error.what());
    }
  }
}

void TensorBoardFolder::fail(const std::string& name, Stage& stage, const char* reason) {
  stage.file.reset();
  stage.not_before = monotonic_seconds() + retry_seconds_;
  if (std::exchange(stage.has_failed, true)) return;
  log::warning(
      "stage {}: {} What TensorBoard shows waits in memory and is written later; events.jsonl goes on.", name,
      reason);
}

}  // namespace pixart::run
