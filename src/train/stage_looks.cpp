#include "stage_looks.h"

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/data/transform.h"
#include "pixart/distributed/agreement.h"
#include "pixart/distributed/phase.h"
#include "stage_run.h"

namespace pixart::train {
namespace fs = std::filesystem;

Looks planned_looks(const run::StageConfig& stage, int64_t step) {
  const auto is_due = [&](int64_t every) { return every > 0 && (step % every == 0 || step == stage.steps); };
  if (step == 0) return {};
  return {.validation = is_due(stage.validation.every),
          .images = step == stage.steps || is_due(stage.samples.every),
          .metrics = is_due(stage.metrics.every)};
}

Looks missing_looks(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step,
                    const run::MetricSink& metrics) {
  Looks looks = planned_looks(stage, step);
  const run::StageLines lines = metrics.lines_of(stage.name);
  looks.validation = looks.validation && lines.last_validation != step;
  looks.metrics = looks.metrics && lines.last_metrics != step;
  std::error_code ignored;
  looks.images = looks.images && !fs::exists(sample_file(folder, stage, step), ignored);
  return looks;
}

fs::path sample_file(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step) {
  return folder.samples(stage.name) / fmt::format("step-{:08d}.png", step);
}

fs::path card_file(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step) {
  return folder.metrics(stage.name) / fmt::format("step-{:08d}.json", step);
}

// All may take more memory and time than a step, so the step's checkpoint is on disk before. Otherwise a
// crash here would lose earlier steps too, and come back at every restart.
void StageRun::look(const Looks& looks) {
  if (!looks.any()) return;
  if (saved_step_ == trainer_.step())
    distributed::all_together(run_.ranks, phase("saving"), [this] { writer_.settle(); });
  const bool all_done =
      (!looks.validation || validate()) && (!looks.images || draw()) && (!looks.metrics || measure());
  if (!all_done) end_on_request();
}

bool StageRun::validate() {
  trainer_.gather_ema();
  const double begun = monotonic_seconds();
  const std::string what = phase("loss on held-out samples");
  distributed::enter_phase(what);
  const auto asked_to_stop = [&] { return distributed::any_rank(run_.ranks, stop_requested(), what); };
  std::map<std::string, double> line;
  for (const auto& [name, objective] : {std::pair{"validation_loss", model_.objective.get()},
                                        std::pair{"validation_loss_ema", model_.ema_objective.get()}}) {
    const auto losses = held_out_losses(*objective, *model_.held_out, run_.ranks, what, asked_to_stop);
    if (losses.empty()) return false;
    add_held_out(line, name, losses);
  }
  write_metrics();
  if (metrics_ == nullptr) return true;
  metrics_->write(stage_.name, trainer_.step(), line);
  metrics_->report(run::validation_line(stage_.name, trainer_.step(), monotonic_seconds() - begun));
  return true;
}

bool StageRun::draw() {
  trainer_.gather_ema();
  const std::string what = phase("drawing samples");
  // The host runs ahead of a GPU; a sign of life says that a piece is done.
  const auto asked_to_stop = [this] {
    nn::wait_for(run_.device);
    return stop_requested();
  };
  const auto images = draw_together(model_.drawing, run_.ranks, what, asked_to_stop);
  if (!images) return false;
  const auto never = [] { return false; };
  distributed::together_until(run_.ranks, phase("writing samples"), never, [&](const auto& sign_of_life) {
    if (is_first()) save_images(*images, [&] { sign_of_life(); });
  });
  return true;
}

bool StageRun::measure() {
  trainer_.gather_ema();
  const double begun = monotonic_seconds();
  const auto asked_to_stop = [this] {
    nn::wait_for(run_.device);
    return stop_requested();
  };
  const auto rows = model_.metrics->draw(run_.ranks, phase("drawing images for metrics"), asked_to_stop);
  if (!rows) return false;
  score::DrawnValues values;
  const auto never = [] { return false; };
  distributed::together_until(run_.ranks, phase("computing metrics"), never, [&](const auto& sign_of_life) {
    if (!is_first()) return;
    values = model_.metrics->values(*rows, [&] { sign_of_life(); });
    save_card(values, *rows);
  });
  write_metrics();
  if (metrics_ != nullptr) write_scores(values, monotonic_seconds() - begun);
  return true;
}

// The values are in events.jsonl, too, so a card that cannot be written ends no run.
void StageRun::save_card(const score::DrawnValues& values, const score::DrawnRows& rows) {
  const fs::path card = card_file(run_.folder, stage_, trainer_.step());
  try {
    create_folders(card.parent_path());
    write_file_atomically(card, model_.metrics->card(values, rows, trainer_.step()));
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kStorage || stage_.checkpoints.on_error == run::OnSaveError::kStop) throw;
    log::error("the card of the metrics of step {} was not saved: {}", trainer_.step(), error.what());
  }
}

void StageRun::write_scores(const score::DrawnValues& values, double seconds) {
  const int64_t step = trainer_.step(), images = model_.metrics->images();
  const auto line = metric_events(values, images);
  std::string text;
  for (const auto& [name, value] : line)
    if (name != run::kMetricImages)
      text += fmt::format("{} {:.5g}, ", name.substr(std::string_view("metric_").size()), value);
  log::info("stage {}, step {}: {}{} images in {}", stage_.name, step, text, images, human_seconds(seconds));
  metrics_->write(stage_.name, step, line);
  metrics_->report(run::metrics_line(stage_.name, step, seconds, images));
}

void StageRun::save_images(const std::vector<Image>& images, const std::function<void()>& progress) {
  const int scale = std::max<int>(1, int(128 / std::max(1, images.front().width)));
  waiting_images_.emplace_back(
      trainer_.step(),
      data::make_captioned_grid(images, model_.drawing.captions, int(stage_.samples.columns), scale));
  write_waiting_images(progress);
}

// Images that cannot be written wait for the next save, the newest few of them.
void StageRun::write_waiting_images(const std::function<void()>& progress) {
  constexpr size_t kMostWaiting = 8;
  while (!waiting_images_.empty()) {
    const auto& [step, grid] = waiting_images_.front();
    const fs::path path = sample_file(run_.folder, stage_, step);
    try {
      create_folders(path.parent_path());
      formats::save_png(path, grid, {}, progress);
    } catch (const UserError& error) {  // treated like a checkpoint that was not saved
      if (error.code() != ExitCode::kStorage || stage_.checkpoints.on_error == run::OnSaveError::kStop) throw;
      log::error("the images of step {} were not saved: {} They are written later.", step, error.what());
      if (waiting_images_.size() > kMostWaiting) waiting_images_.pop_front();
      return;
    }
    metrics_->image(stage_.name, step, "samples", path);
    waiting_images_.pop_front();
  }
}

}  // namespace pixart::train
