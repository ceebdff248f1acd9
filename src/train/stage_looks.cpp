#include "stage_looks.h"

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/data/transform.h"
#include "pixart/dist/agreement.h"
#include "pixart/dist/phase.h"
#include "stage_run.h"

namespace pixart::train {
namespace fs = std::filesystem;

Looks planned_looks(const StageConfig& stage, int64_t step) {
  const auto is_due = [&](int64_t every) { return every > 0 && (step % every == 0 || step == stage.steps); };
  if (step == 0) return {};
  return {.validation = is_due(stage.validation.every),
          .pictures = step == stage.steps || is_due(stage.samples.every)};
}

Looks missing_looks(const RunFolder& folder, const StageConfig& stage, int64_t step,
                    const MetricSink& metrics) {
  Looks looks = planned_looks(stage, step);
  looks.validation = looks.validation && metrics.lines_of(stage.name).last_validation != step;
  std::error_code ignored;
  looks.pictures = looks.pictures && !fs::exists(picture_file(folder, stage, step), ignored);
  return looks;
}

fs::path picture_file(const RunFolder& folder, const StageConfig& stage, int64_t step) {
  return folder.samples(stage.name) / fmt::format("step-{:08d}.png", step);
}

// Both may take more memory and time than a step does: the checkpoint of the step is on the disk before, lest
// what ends the process here loses the steps before too, and meets every restart again.
void StageRun::look(const Looks& looks) {
  if (!looks.any()) return;
  if (saved_step_ == trainer_.step())
    dist::all_together(run_.ranks, phase("saving"), [this] { writer_.settle(); });
  if ((looks.validation && !validate()) || (looks.pictures && !draw())) end_on_request();
}

bool StageRun::validate() {
  trainer_.gather_average();
  const double begun = monotonic_seconds();
  const std::string what = phase("loss on held-out samples");
  dist::enter_phase(what);
  const auto asked_to_stop = [&] { return dist::any_rank(run_.ranks, stop_requested(), what); };
  std::map<std::string, double> line;
  for (const auto& [name, objective] : {std::pair{"validation_loss", model_.objective.get()},
                                        std::pair{"validation_loss_ema", model_.average_objective.get()}}) {
    const auto losses = held_out_losses(*objective, *model_.held_out, run_.ranks, what, asked_to_stop);
    if (losses.empty()) return false;
    add_held_out(line, name, losses);
  }
  write_metrics();
  if (metrics_ == nullptr) return true;
  metrics_->write(stage_.name, trainer_.step(), line);
  metrics_->report(validation_line(stage_.name, trainer_.step(), monotonic_seconds() - begun));
  return true;
}

bool StageRun::draw() {
  trainer_.gather_average();
  return !dist::first_rank_until(run_.ranks, phase("drawing samples"), stop_requested,
                                 [this](const std::function<bool()>& asked_to_stop) {
                                   const Pictures pictures = model_.draw(asked_to_stop);
                                   if (pictures.images.size() == pictures.captions.size())
                                     save_pictures(pictures);
                                 });
}

void StageRun::save_pictures(const Pictures& pictures) {
  const fs::path path = picture_file(run_.folder, stage_, trainer_.step());
  const int scale = std::max<int>(1, int(128 / std::max(1, pictures.images.front().width)));
  try {
    create_folders(path.parent_path());
    formats::save_png(path, data::make_captioned_grid(pictures.images, pictures.captions,
                                                      int(stage_.samples.columns), scale));
    metrics_->image(stage_.name, trainer_.step(), "samples", path);
  } catch (const UserError& error) {  // as harmless as a checkpoint that was not saved
    if (error.code() != ExitCode::kStorage || stage_.checkpoints.on_error == OnSaveError::kStop) throw;
    log::error("the pictures of step {} were not saved: {}", trainer_.step(), error.what());
  }
}

}  // namespace pixart::train
