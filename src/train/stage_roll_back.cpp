// Undoes a bad step: the stage goes back to its newest checkpoint, as after a kill, and leaves out the samples of
// the step from there on.
#include <nlohmann/json.hpp>

#include "blame.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
#include "stage_run.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::vector<Suspect> of_all_ranks(distributed::Communicator& ranks, const std::vector<Suspect>& own,
                                  const std::string& phase) {
  json list = json::array();
  for (const auto& suspect : own) list.push_back(json::array({suspect.row, suspect.is_bad_alone}));
  std::vector<Suspect> all;
  for (const auto& text : distributed::gather_strings(ranks, list.dump(), phase))
    for (const auto& item : json::parse(text))
      all.push_back({.row = item.at(0).get<int64_t>(), .is_bad_alone = item.at(1).get<bool>()});
  return all;
}

}  // namespace

std::string StageRun::newest_checkpoint(const StepResult& bad, bool reads_whole) {
  std::string name;
  distributed::on_first_rank(run_.ranks, phase("looking for a checkpoint"), [&] {
    const fs::path folder = run_.folder.checkpoints(stage_.name);
    const auto search = reads_whole ? run::find_checkpoint(folder) : run::find_unread_checkpoint(folder);
    if (!search.newest)
      throw UserError(
          fmt::format("stage {}, step {}: {}, and {} has no good checkpoint to roll back to. Restore one, or "
                      "begin the stage again with --restart-stage {}.",
                      stage_.name, bad.step, bad.fault, folder.string(), stage_.name),
          ExitCode::kNumerics);
    name = search.newest->folder.filename();
  });
  return distributed::broadcast_string(run_.ranks, name, 0, phase("which checkpoint"));
}

void StageRun::roll_back(const StepResult& result) {
  const StepResult bad = result;  // of pending_, which is cleared
  const double begun = monotonic_seconds();
  trainer_.stop_loading();
  auto blamed = samples_to_blame(
      stage_, bad, of_all_ranks(run_.ranks, trainer_.suspects(), phase("the samples of a bad step")),
      *model_.excluded);
  distributed::all_together(run_.ranks, phase("saving"), [this] { writer_.settle(); });
  if (!load(newest_checkpoint(bad, /*reads_whole=*/false)))  // the order of load_newest()
    load_good(newest_checkpoint(bad, /*reads_whole=*/true));
  for (auto& sample : blamed) sample.from_position = trainer_.step() * stage_.batch_size;
  model_.excluded->add(blamed);
  record_excluded();
  renew_facts();
  trainer_.bind_ema(*model_.ema);
  pending_.clear();
  while (!waiting_images_.empty() && waiting_images_.back().first > trainer_.step())
    waiting_images_.pop_back();
  const int64_t number = blamed.front().roll_back;
  log::warning(
      "stage {}, step {}: {}. Back at step {} (roll-back {}, at most {}); from here on the stage leaves out {} "
      "samples: {}",
      stage_.name, bad.step, bad.fault, trainer_.step(), number, stage_.bad_steps.most_roll_backs,
      blamed.size(), name_samples(blamed));
  distributed::on_first_rank(run_.ranks, phase("removing the events of undone steps"),
                             [this] { metrics_->rewind(stage_.name, trainer_.step()); });
  if (metrics_ == nullptr) return;
  metrics_->report(run::roll_back_line(stage_.name, trainer_.step(),
                                       {.bad_step = bad.step,
                                        .fault = bad.fault,
                                        .number = number,
                                        .samples = int64_t(blamed.size()),
                                        .seconds = monotonic_seconds() - begun}));
}

// Durable before the next step: a checkpoint after it, or a kill before the next checkpoint, must find it.
void StageRun::record_excluded() {
  distributed::on_first_rank(run_.ranks, phase("recording what is left out"), [this] {
    if (lock_ != nullptr) lock_->check();
    const fs::path file = run_.folder.excluded(stage_.name);
    create_folders(file.parent_path());
    write_file_atomically(file, features::lines_of(model_.excluded->found()));
  });
}

// Those in the checkpoint and those of roll-backs after it. Rank 0 reads them for all.
void StageRun::restore_excluded() {
  const fs::path file = run_.folder.excluded(stage_.name);
  std::string lines = features::lines_of(facts_.excluded);
  distributed::on_first_rank(run_.ranks, phase("reading what is left out"), [&] {
    if (fs::exists(file)) lines += read_file(file);
  });
  lines = distributed::broadcast_string(run_.ranks, lines, 0, phase("what is left out"));
  distributed::all_together(run_.ranks, phase("leaving out samples"),
                            [&] { model_.excluded->add(features::parse_excluded(lines, file.string())); });
  if (const size_t count = model_.excluded->found().size(); count > 0)
    log::info("stage {}: leaves out {} samples since its roll-backs ({})", stage_.name, count, file.string());
}

}  // namespace pixart::train
