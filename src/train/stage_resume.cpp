// Where a stage begins: at step 0, or at a checkpoint that is not damaged.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "initial_weights.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
#include "stage_run.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

UserError none_usable(const fs::path& folder, const std::string& stage, const run::CheckpointSearch& search,
                      int64_t trained) {
  std::string message =
      search.damaged.empty()
          ? fmt::format("stage {} was trained to step {} (events.jsonl), but {} has no checkpoint", stage,
                        trained, folder.string())
          : fmt::format("stage {}: none of the {} checkpoints in {} can be used", stage,
                        search.damaged.size(), folder.string());
  for (const auto& damaged : search.damaged) message += "\n  - " + damaged;
  message += fmt::format(
      "\nRestore a good checkpoint, for example from a backup, and start the same command again. To begin "
      "the stage again at step 0, add --restart-stage {}: damaged checkpoints are renamed, not deleted.",
      stage);
  return UserError(message, ExitCode::kStorage);
}

}  // namespace

void StageRun::begin() {
  if (!load_newest()) {
    start_at_zero();
  } else {
    log::info("stage {}: continues at step {} of {}", stage_.name, trainer_.step(), stage_.steps);
    warn_of_threads();
  }
  restore_excluded();
  renew_facts();
  Looks missing;
  distributed::on_first_rank(run_.ranks, phase("continuing the metrics"), [&] {
    if (metrics_ == nullptr) return;
    metrics_->rewind(stage_.name, trainer_.step());
    metrics_->report(run::stage_line(stage_.name, trainer_.step(), model_.facts));
    missing = missing_looks(run_.folder, stage_, trainer_.step(), *metrics_);
  });
  missing_ = share_looks(missing);
  trainer_.bind_ema(*model_.ema);
}

// The ranks compare what they load with the manifest. Only if that fails are checkpoints read to find a good one;
// and before a stage may begin again, because then nothing of a damaged one may be left in the trainer.
bool StageRun::load_newest() {
  const std::string newest = agree_on_checkpoint(may_restart_);
  if (newest.empty()) return false;
  if (!load(newest)) load_good(agree_on_checkpoint(true));
  return true;
}

// The name of a step folder, or "".
std::string StageRun::agree_on_checkpoint(bool reads_whole) {
  const fs::path folder = run_.folder.checkpoints(stage_.name);
  std::string newest;
  distributed::on_first_rank(run_.ranks, phase("looking for a checkpoint"), [&] {
    create_folders(folder);
    newest =
        choose_checkpoint(reads_whole ? run::find_checkpoint(folder) : run::find_unread_checkpoint(folder));
    run::remove_checkpoint_leftovers(folder);
  });
  return distributed::broadcast_string(run_.ranks, newest, 0, phase("which checkpoint"));
}

// False: it is damaged.
bool StageRun::load(const std::string& checkpoint) {
  const fs::path folder = run_.folder.checkpoints(stage_.name) / checkpoint;
  bool is_damaged = false;
  distributed::all_together(run_.ranks, phase("loading a checkpoint"), [&] {
    try {
      facts_ = load_checkpoint(folder, trainer_, *model_.state, model_.data, model_.inputs);
    } catch (const DamagedCheckpoint& error) {
      is_damaged = true;
      log::warning("{}", error.what());
    }
  });
  saved_step_ = trainer_.step();
  return !distributed::any_rank(run_.ranks, is_damaged, phase("whether the checkpoint is good"));
}

void StageRun::load_good(const std::string& checkpoint) {
  if (load(checkpoint)) return;
  throw UserError(
      fmt::format(
          "checkpoint {} is good when rank 0 reads it as a whole, and differs when it is loaded. Suspect the "
          "disk, the file server or the memory of a machine; start the same command again.",
          (run_.folder.checkpoints(stage_.name) / checkpoint).string()),
      ExitCode::kStorage);
}

void StageRun::renew_facts() {
  facts_.data = model_.data;
  facts_.inputs.insert(model_.inputs.begin(), model_.inputs.end());
  facts_.threads = at::get_num_threads();
  facts_.excluded = model_.excluded->found();
}

// LibTorch divides sums among its threads, and floating-point sums depend on their order.
void StageRun::warn_of_threads() {
  const int64_t now = at::get_num_threads(), before = facts_.threads;
  if (!run_.device.is_cpu() || before == 0 || before == now) return;
  log::warning(
      "stage {}: the checkpoint of step {} was made with threads: {}; this process has {}. The run continues, "
      "but not bit for bit as without the stop; threads: {} would do that.",
      stage_.name, trainer_.step(), before, now, before);
}

// Never begins at step 0 if earlier training may be left in the folder: that decision is the user's.
std::string StageRun::choose_checkpoint(const run::CheckpointSearch& search) {
  const fs::path folder = run_.folder.checkpoints(stage_.name);
  if (search.newest) {
    for (const auto& name : search.unnamed)
      log::warning("{} is not in the checkpoint's manifest.json and is not read",
                   (search.newest->folder / name).string());
    if (may_restart_)
      log::warning(
          "stage {}: --restart-stage has no effect: the checkpoint of step {} is good, and the stage "
          "continues there",
          stage_.name, search.newest->step);
    return search.newest->folder.filename();
  }
  const int64_t trained = metrics_->lines_of(stage_.name).last_step;
  if (search.damaged.empty() && trained < 0) return "";
  if (!may_restart_) throw none_usable(folder, stage_.name, search, trained);
  for (const auto& checkpoint : run::list_checkpoints(folder))
    log::warning("stage {} begins again: renamed {} to {}", stage_.name, checkpoint.folder.string(),
                 run::set_aside(checkpoint.folder).string());
  return "";
}

Looks StageRun::share_looks(Looks looks) {
  const std::string what = phase("what to look at");
  looks.validation = distributed::any_rank(run_.ranks, looks.validation, what);
  looks.images = distributed::any_rank(run_.ranks, looks.images, what);
  looks.metrics = distributed::any_rank(run_.ranks, looks.metrics, what);
  return looks;
}

void StageRun::start_at_zero() {
  distributed::all_together(run_.ranks, phase("initialising"), [this] {
    facts_.metadata = model_.initialize();
    facts_.inputs = initial_hashes(run_, stage_);
  });
  at::Tensor values = trainer_.state().values;
  run_.ranks.broadcast(values, 0, phase("weights of rank 0"));
  trainer_.state().ema.copy_(trainer_.share().values());
  renew_facts();
  save();  // proves that saving works before hours of training
  finish_save();
}

}  // namespace pixart::train
