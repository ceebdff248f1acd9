#include "pixart/train/trainer.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/patterns.h"
#include "pixart/nn/kept_copy.h"

namespace pixart::train {

namespace {

optim::FlatParameters flat_parameters(nn::StateDict& model, const optim::OptimizerConfig& optimizer) {
  auto tensors = model.trainable();
  for (auto& tensor : tensors) tensor.set_requires_grad(true);
  Problems problems;
  auto without_decay = matching_names(optimizer.no_decay, nn::trainable_names(model), "optimizer.no_decay",
                                      "trained parameter", problems);
  problems.throw_if_any("the optimizer");
  return optim::FlatParameters(std::move(tensors), std::move(without_decay));
}

// How Muon cuts the trained parameters.
std::vector<int64_t> matrices_of(const nn::StateDict& model) {
  std::vector<int64_t> matrices;
  for (const auto& item : model.items())
    if (item.trainable) matrices.push_back(optim::matrices_in(item.name, item.tensor.sizes()));
  return matrices;
}

// The factors of the learning rates of the trained parameters.
std::vector<std::vector<double>> rates_of(const nn::StateDict& model, const run::TrainerConfig& config) {
  std::vector<std::vector<double>> rates;
  if (config.rates.empty()) return rates;
  for (const auto& name : nn::trainable_names(model)) {
    const auto found = config.rates.find(name);
    rates.push_back(found == config.rates.end() ? std::vector<double>{} : found->second);
  }
  return rates;
}

std::vector<at::Tensor> power_ema_copies(const run::TrainerConfig& config,
                                         const optim::FlatParameters& share) {
  std::vector<at::Tensor> result;
  if (config.power_ema.every > 0)
    for (size_t i = 0; i < config.power_ema.lengths.size(); ++i) result.push_back(share.values().clone());
  return result;
}

std::vector<double> numbers_of(const std::vector<at::Tensor>& scalars) {
  std::vector<double> numbers;
  for (const auto& scalar : scalars) numbers.push_back(scalar.item<double>());
  return numbers;
}

double ema_decay(const run::TrainerConfig& config, int64_t step) {
  if (!config.ema_warmup) return config.ema_decay;
  return std::min(config.ema_decay, double(1 + step) / double(10 + step));
}

std::vector<std::pair<int64_t, int64_t>> share_ranges(const optim::FlatParameters& flat,
                                                      const run::TrainerConfig& config, int ranks) {
  return flat.part_ranges(config.optimizer.shard ? ranks : 1);
}

// One sample of a batch, not prepared.
data::Batch sample_of(const data::Batch& batch, size_t i) {
  data::Batch one{.plan = batch.plan, .latent_shape = batch.latent_shape};
  one.plan.positions = {batch.plan.positions.at(i)};
  one.plan.rows = {batch.plan.rows.at(i)};
  for (at::Tensor data::Batch::*tensor :
       {&data::Batch::image, &data::Batch::mean, &data::Batch::log_var, &data::Batch::label,
        &data::Batch::caption, &data::Batch::mask, &data::Batch::image_size, &data::Batch::aspect_ratio,
        &data::Batch::teacher, &data::Batch::tokens})
    if ((batch.*tensor).defined()) one.*tensor = (batch.*tensor).narrow(0, int64_t(i), 1);
  return one;
}

void check_ranks(const run::TrainerConfig& config, int ranks) {
  if (config.batch_size < ranks)
    throw UserError(fmt::format("batch_size {} is too small for {} ranks", config.batch_size, ranks));
  if (config.numerics == run::Numerics::kExact && exact_lanes(config.batch_size) % ranks != 0)
    throw UserError(
        fmt::format("numerics: exact with batch_size {} needs {} ranks or a smaller power of two, not {}",
                    config.batch_size, exact_lanes(config.batch_size), ranks));
}

}  // namespace

Trainer::Trainer(run::TrainerConfig config, nn::StateDict& model, Objective& objective, data::Loader& loader,
                 distributed::Communicator& ranks)
    : config_(std::move(config)),
      model_(model),
      objective_(objective),
      loader_(loader),
      ranks_(ranks),
      flat_(flat_parameters(model, config_.optimizer)),
      ranges_(share_ranges(flat_, config_, ranks.world_size())),
      share_(flat_.part(ranges_.size() == 1 ? ranges_.front() : ranges_.at(size_t(ranks.rank())))),
      optimizer_(config_.optimizer, share_, matrices_of(model), rates_of(model, config_)),
      ema_(share_.values().clone()),
      power_emas_(power_ema_copies(config_, share_)),
      judge_(config_.bad_steps) {
  PIXART_CHECK(loader_.num_samples_per_step() == config_.batch_size, "a loader of {} samples, batch {}",
               loader_.num_samples_per_step(), config_.batch_size);
  check_ranks(config_, ranks.world_size());
  loader_.prepare_with([&objective](data::Batch& batch) { objective.prepare(batch); });
  sum_ = make_gradient_sum(flat_, ranks,
                           {.numerics = config_.numerics,
                            .batch_size = config_.batch_size,
                            .num_recorded = int64_t(objective.recorded_names().size()),
                            .shares = ranges_});
}

StepResult Trainer::train_step(bool stop_requested) {
  if (loaded_step_ != step_) {  // at the first step, or after another one was loaded
    loader_.start(step_);
    flat_.round_values();
  }
  if (objective_.reads_ema()) gather_ema();
  StepResult result{.step = step_};
  std::vector<data::Batch> batches;
  std::vector<at::Tensor> losses;
  if (config_.numerics == run::Numerics::kExact)
    flat_.zero_gradients();
  else
    flat_.expect_gradients();
  while (auto batch = loader_.next()) {
    const at::Tensor loss = objective_.loss(*batch) * batch->plan.share;
    sum_->before_backward(batch->plan);
    torch::autograd::backward({loss}, {});
    flat_.settle_gradients();
    sum_->after_backward(batch->plan, with_recorded(loss.detach(), batch->plan.share));
    losses.push_back(loss.detach());
    batch->inputs.reset();  // skip() needs the samples only
    batches.push_back(std::move(*batch));
  }
  flat_.settle_gradients();  // for a rank without samples
  const auto totals = sum_->finish(stop_requested, step_);
  result.loss = totals.loss;
  result.recorded = totals.recorded;
  result.stop_requested = totals.flag;
  result.gradient_norm = totals.gradient_norm;
  result.lr = optim::learning_rate(config_.lr_schedule, config_.optimizer.lr, config_.batch_size,
                                   config_.steps, step_);

  // Values that are not finite never reach the weights. Loss and gradients are sums over the ranks, so all
  // ranks see them.
  result.fault = judge_.fault_of({result.loss, result.gradient_norm});
  result.skipped = !result.fault.empty();
  if (result.skipped)
    skip(result, std::move(batches), numbers_of(losses));
  else
    update(result, totals.squared_norm);
  loaded_step_ = ++step_;
  return result;
}

// The loss, and what the objective records besides.
at::Tensor Trainer::with_recorded(const at::Tensor& loss, double share) const {
  const at::Tensor recorded = objective_.recorded_values();
  if (!recorded.defined()) return loss;
  return at::cat({loss.to(at::kDouble).view({1}), recorded * share});
}

void Trainer::update(StepResult& result, const at::Tensor& squared_norm) {
  const double scale =
      config_.gradient_clip > 0 ? optim::clip_factor(result.gradient_norm, config_.gradient_clip) : 1.0;
  result.clipped = scale < 1;
  const optim::GradientScale gradient_scale(scale, config_.gradient_clip > 0 ? squared_norm : at::Tensor(),
                                            config_.gradient_clip);
  optimizer_.step(share_, result.lr, gradient_scale, ema_, ema_decay(config_, step_));
  for (size_t i = 0; i < power_emas_.size(); ++i)
    optim::ema_update(
        power_emas_[i], share_.values(),
        optim::power_decay(optim::power_of_length(config_.power_ema.lengths[i]), optimizer_.steps()));
  spread_values();
  judge_.add({result.loss, result.gradient_norm});
}

void Trainer::skip(const StepResult& result, std::vector<data::Batch> batches, std::vector<double> losses) {
  BadStep bad{
      .result = result, .batches = std::move(batches), .losses = std::move(losses), .bad_gradients = {}};
  bad.bad_gradients = bad_gradients();
  report_(bad);
  if (config_.bad_steps.roll_back)
    suspects_ = suspects_in(bad.batches, !std::isfinite(result.loss) || !std::isfinite(result.gradient_norm));
  else
    count_skipped(result);
}

// Of the sums over all ranks; with shares, each rank has those of its own.
std::vector<size_t> Trainer::bad_gradients() {
  const auto gradients = share_.views(share_.gradients());
  at::Tensor is_bad = at::zeros({int64_t(flat_.num_parameters())}, at::kLong);
  for (size_t i = 0; i < gradients.size(); ++i)
    is_bad[int64_t(share_.indices()[i])] = gradients[i].isfinite().all().item<bool>() ? 0 : 1;
  if (is_sharded()) ranks_.all_reduce_sum(is_bad, fmt::format("step {}: bad gradients", step_));
  std::vector<size_t> result;
  for (int64_t i = 0; i < is_bad.numel(); ++i)
    if (is_bad[i].item<int64_t>() > 0) result.push_back(size_t(i));
  return result;
}

void Trainer::count_skipped(const StepResult& result) {
  ++skipped_;
  log::warning("step {}: {}; the weights are unchanged ({} of {} such steps allowed)", step_, result.fault,
               skipped_, config_.max_skipped);
  if (skipped_ <= config_.max_skipped) return;
  throw UserError(
      fmt::format(
          "{} steps had a loss or gradient that is not finite, the last at step {}. Lower optimizer.lr, "
          "increase lr_schedule.warmup_steps, or look for bad values in the data; the last checkpoint is "
          "good.",
          skipped_, step_),
      ExitCode::kNumerics);
}

std::vector<Suspect> Trainer::suspects_in(const std::vector<data::Batch>& batches, bool is_tried) {
  std::vector<Suspect> result;
  for (const auto& batch : batches)
    for (size_t i = 0; i < batch.plan.rows.size(); ++i)
      result.push_back({.row = batch.plan.rows[i], .is_bad_alone = is_tried && !is_finite_alone(batch, i)});
  return result;
}

// Uses the buffer of the gradients, which the next step clears.
bool Trainer::is_finite_alone(const data::Batch& batch, size_t sample) {
  data::Batch one = sample_of(batch, sample);
  objective_.prepare(one);
  flat_.zero_gradients();
  const at::Tensor loss = objective_.loss(one);
  torch::autograd::backward({loss}, {});
  flat_.settle_gradients();
  return std::isfinite(loss.item<double>()) && flat_.gradients().isfinite().all().item<bool>();
}

void Trainer::stop_loading() {
  loader_.stop();
  loaded_step_ = -1;
}

void Trainer::spread_values() {
  if (!is_sharded()) return;
  for (size_t r = 0; r < ranges_.size(); ++r) {
    const auto [begin, end] = ranges_[r];
    if (begin == end) continue;
    at::Tensor part = flat_.values().narrow(0, begin, end - begin);
    ranks_.broadcast(part, int(r), fmt::format("step {}: weights", step_));
  }
  flat_.round_values();  // those of the other ranks
}

void Trainer::keep_rounded_weights() {
  if (!flat_.keep_rounded()) return;
  size_t next = 0;
  for (const auto& parameter : model_.items()) {
    if (!parameter.trainable) continue;
    const at::Tensor& leaf = flat_.rounded_leaves().at(next);
    nn::keep_copy(parameter.tensor, leaf);
    nn::keep_gradient_places(leaf, [places = flat_.places_of(next++)]() -> std::optional<nn::GradientPlace> {
      const auto place = places();
      return place ? std::optional(nn::GradientPlace{place->sum, place->adds}) : std::nullopt;
    });
  }
}

at::Tensor Trainer::whole_ema() {
  if (!is_sharded()) return ema_;
  if (!gathered_ema_.defined()) gathered_ema_ = at::empty_like(flat_.values());
  return gathered(ema_, gathered_ema_);
}

at::Tensor Trainer::gathered(const at::Tensor& share, at::Tensor whole) {
  for (size_t r = 0; r < ranges_.size(); ++r) {
    const auto [begin, end] = ranges_[r];
    if (begin == end) continue;
    at::Tensor part = whole.narrow(0, begin, end - begin);
    if (int(r) == ranks_.rank()) part.copy_(share);
    ranks_.broadcast(part, int(r), fmt::format("step {}: EMA", step_));
  }
  return whole;
}

std::vector<at::Tensor> Trainer::whole_power_emas() {
  if (!is_sharded()) return power_emas_;
  std::vector<at::Tensor> result;
  for (const auto& share : power_emas_) result.push_back(gathered(share, at::empty_like(flat_.values())));
  return result;
}

void Trainer::gather_ema() { whole_ema(); }

void Trainer::bind_ema(nn::StateDict& other) {
  const auto views = flat_.views(whole_ema());
  size_t next = 0;
  for (const auto& parameter : model_.items()) {
    at::Tensor tensor = other.get(parameter.name);
    tensor.set_data(parameter.trainable ? views.at(next++) : parameter.tensor);
  }
  PIXART_CHECK(next == views.size(), "{} EMA tensors, {} bound", views.size(), next);
}

Trainer::State Trainer::state() { return {flat_.values(), ema_, &optimizer_, &step_, &skipped_, &judge_}; }

}  // namespace pixart::train
