#include "pixart/train/coordinate_check.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/machine.h"
#include "pixart/base/words.h"
#include "pixart/diffusion/training_loss.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/models/mup.h"
#include "pixart/nn/observe.h"
#include "pixart/nn/random_fill.h"
#include "pixart/optim/optimizer.h"
#include "pixart/train/objectives.h"

namespace pixart::train {

namespace {

constexpr int64_t kLatentSide = 8, kTokens = 6, kClasses = 8, kMostBlocks = 4, kLeastWidth = 64,
                  kNumWidths = 4;
constexpr const char* kOutput = "output";

// Of each layer, by the name of its weight without its end.
using Outputs = std::map<std::string, at::Tensor>;

// "blocks.3.attn.qkv" -> "blocks.*.attn.qkv".
std::string kind_of(const std::string& layer) {
  constexpr std::string_view kBlocks = "blocks.";
  if (!layer.starts_with(kBlocks)) return layer;
  return "blocks.*" + layer.substr(layer.find('.', kBlocks.size()));
}

models::TransformerConfig model_of_width(const run::RunConfig& run, const run::StageConfig& stage,
                                         int64_t width) {
  run::RunConfig narrow = run;
  auto& size = narrow.transformer;
  const models::TransformerShape own = features::shape_of(run.transformer);
  size.preset.reset();
  size.patch_size = own.patch_size, size.num_heads = own.num_heads, size.hidden_size = width;
  size.depth = std::min(own.depth, kMostBlocks);
  narrow.text_encoder.max_tokens = kTokens;
  run::StageConfig small = stage;
  const models::VaeConfig vae;
  small.resolution = kLatentSide * own.patch_size / 2 * vae.downscale();
  small.aspect_buckets = false, small.resolutions.clear(), small.kv_compression = {};
  small.multi_scale = false, small.micro_conditions = false;
  return features::transformer_config(
      narrow, small, vae, {.labels = {.num_classes = kClasses}, .text = {.caption_channels = 64}});
}

at::Tensor random_normal(at::IntArrayRef shape, const std::string& name, uint64_t seed) {
  at::Tensor result = at::empty(shape);
  nn::fill_normal_named(result, name, seed, 1.0);
  return result;
}

// A model in training on random samples.
class TrainedWidth {
 public:
  TrainedWidth(const run::RunConfig& run, const run::StageConfig& stage, int64_t width, uint64_t seed,
               int64_t batch_size)
      : config_(model_of_width(run, stage, width)),
        base_(features::width_base(run.transformer)),
        model_(nn::Scope(state_), config_),
        loss_(stage, at::kCPU),
        seed_(seed),
        batch_size_(batch_size) {
    models::initialize(state_, config_,
                       {.seed = seed, .embedder_std = stage.init.embedder_std, .base = base_});
    std::map<std::string, std::vector<double>> rates;
    if (base_) rates = models::learning_rate_factors(config_, *base_);
    std::vector<std::vector<double>> factors;
    std::vector<int64_t> matrices;
    for (const auto& item : state_.items()) {
      if (!item.trainable) continue;
      factors.push_back(rates[item.name]);
      matrices.push_back(optim::matrices_in(item.name, item.tensor.sizes()));
    }
    auto tensors = state_.trainable();
    for (auto& tensor : tensors) tensor.set_requires_grad(true);
    flat_ = std::make_unique<optim::FlatParameters>(std::move(tensors));
    optimizer_ = std::make_unique<optim::Optimizer>(stage.optimizer, *flat_, matrices, factors);
    // Now the tensors are views of one buffer.
    for (const auto& item : state_.items()) names_[item.tensor.const_data_ptr()] = item.name;
  }

  void step(int64_t number, double lr) {
    flat_->zero_gradients();
    const Batch batch = batch_of(number);
    const auto model = [&](const at::Tensor& x, const at::Tensor& t) {
      return model_.forward(x, t, batch.condition);
    };
    torch::autograd::backward({loss_.losses(model, batch.x_start, batch.noise, batch.t).mean()}, {});
    optimizer_->step(*flat_, lr, 1.0, {}, 0);
  }

  // On the first batch.
  Outputs outputs() {
    at::NoGradGuard no_grad;
    Outputs result;
    const Batch batch = batch_of(0);
    const at::Tensor noisy = loss_.noisy(batch.x_start, batch.noise, batch.t);
    const nn::ObservedProducts observed([&](const at::Tensor& weight, const at::Tensor& output) {
      const auto name = names_.find(weight.const_data_ptr());
      if (name == names_.end()) return;
      const std::string layer = name->second.substr(0, name->second.rfind('.'));
      result[layer] = without_query_scale(layer, output.to(at::kFloat).clone());
    });
    result[kOutput] = model_.forward(noisy, loss_.model_timestep(batch.t), batch.condition).clone();
    return result;
  }

  std::vector<std::string> kinds() const {
    std::vector<std::string> result;
    for (const auto& item : state_.items()) {
      if (!item.name.ends_with(".weight")) continue;
      const std::string kind = kind_of(item.name.substr(0, item.name.rfind('.')));
      if (std::find(result.begin(), result.end(), kind) == result.end()) result.push_back(kind);
    }
    result.emplace_back(kOutput);
    return result;
  }

 private:
  struct Batch {
    at::Tensor x_start, noise, t;
    models::Condition condition;
  };
  Batch batch_of(int64_t number) const {
    const uint64_t seed = seed_ * 1000 + uint64_t(number);
    const int64_t side = config_.shape().input_size, channels = config_.shape().in_channels;
    Batch batch{.x_start = random_normal({batch_size_, channels, side, side}, "latents", seed),
                .noise = random_normal({batch_size_, channels, side, side}, "noise", seed),
                .t = (at::arange(batch_size_) * 2 + 1) * loss_.num_steps() / (2 * batch_size_),
                .condition = {}};
    batch.t = batch.t.to(at::kLong);
    if (config_.num_classes() > 0)
      batch.condition.label = (at::arange(batch_size_) + number) % config_.num_classes();
    else
      batch.condition.caption =
          random_normal({batch_size_, kTokens, config_.caption_channels()}, "captions", seed);
    return batch;
  }

  // muP's queries hold what the paper has as another scale of attention.
  at::Tensor without_query_scale(const std::string& layer, at::Tensor output) const {
    if (!base_) return output;
    const auto& shape = config_.shape();
    if (layer.ends_with(".q_linear")) output.div_(models::query_scale(shape, *base_));
    if (layer.ends_with(".attn.qkv") && !shape.qk_norm)
      output.narrow(-1, 0, shape.hidden_size).div_(models::query_scale(shape, *base_));
    return output;
  }

  models::TransformerConfig config_;
  std::optional<models::WidthBase> base_;
  nn::StateDict state_;
  models::Transformer model_;
  diffusion::TrainingLoss loss_;
  uint64_t seed_;
  int64_t batch_size_;
  std::map<const void*, std::string> names_;
  std::unique_ptr<optim::FlatParameters> flat_;
  std::unique_ptr<optim::Optimizer> optimizer_;
};

// Adds mean squares over layers of the same kind and over seeds.
class MeanSquares {
 public:
  void add(const std::string& kind, const at::Tensor& values) {
    auto& [sum, count] = sums_[kind];
    sum += values.to(at::kDouble).square().mean().item<double>(), ++count;
  }
  double root(const std::string& kind) const {
    const auto found = sums_.find(kind);
    return found == sums_.end() ? 0 : std::sqrt(found->second.first / double(found->second.second));
  }

 private:
  std::map<std::string, std::pair<double, int64_t>> sums_;
};

std::vector<int64_t> usual_widths(const run::RunConfig& run, const run::StageConfig& stage) {
  const auto shape = features::shape_of(run.transformer);
  const int64_t unit = std::lcm(shape.num_heads, stage.has_micro_conditions() ? 12 : 4);
  std::vector<int64_t> widths = {(kLeastWidth + unit - 1) / unit * unit};
  while (int64_t(widths.size()) < kNumWidths) widths.push_back(2 * widths.back());
  return widths;
}

// Of the least squares line through (log x, log y).
std::optional<double> slope_of(const std::vector<int64_t>& widths, const std::vector<double>& values) {
  std::vector<double> x, y;
  for (size_t i = 0; i < widths.size(); ++i)
    if (values[i] > 0) x.push_back(std::log(double(widths[i]))), y.push_back(std::log(values[i]));
  if (x.size() < 2) return std::nullopt;
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / double(x.size()),
               mean_y = std::accumulate(y.begin(), y.end(), 0.0) / double(y.size());
  double above = 0, below = 0;
  for (size_t i = 0; i < x.size(); ++i)
    above += (x[i] - mean_x) * (y[i] - mean_y), below += (x[i] - mean_x) * (x[i] - mean_x);
  if (below == 0) return std::nullopt;
  return above / below;
}

void require_widths(const run::RunConfig& run, const std::vector<int64_t>& widths) {
  const auto shape = features::shape_of(run.transformer);
  const int64_t unit = std::lcm(shape.num_heads, int64_t{4});
  if (int64_t(widths.size()) > kMostChecked)
    throw UserError(
        fmt::format("the check compares at most {} widths, not {}.", kMostChecked, widths.size()));
  Problems problems;
  for (const int64_t width : widths) {
    if (width < kNarrowestChecked || width > kWidestChecked)
      problems.add(
          fmt::format("width {} is not in the range {} to {}", width, kNarrowestChecked, kWidestChecked));
    else if (width % unit != 0)
      problems.add(fmt::format("width {} is not a multiple of {} ({} heads, and 4 for the position table)",
                               width, unit, shape.num_heads));
    else if (double(width) * shape.mlp_ratio < 1)
      problems.add(fmt::format("mlp_ratio {} leaves no channel of width {}", shape.mlp_ratio, width));
  }
  if (std::set(widths.begin(), widths.end()).size() < 2)
    problems.add("at least two different widths are needed, because the check compares them");
  problems.throw_if_any("the coordinate check");
}

// Of the values, their gradients and the optimizer's moments. CAME and Muon have one moment of most weights; the rest that a
// step needs is not counted.
uint64_t least_bytes(const run::RunConfig& run, const run::StageConfig& stage, int64_t width) {
  nn::StateDict state({.dtype = at::kFloat, .device = at::kMeta});
  const models::Transformer model(nn::Scope(state), model_of_width(run, stage, width));
  const uint64_t copies = stage.optimizer.name == optim::OptimizerName::kAdamW ? 4 : 3;
  return copies * sizeof(float) * uint64_t(state.num_parameters());
}

void require_memory(const run::RunConfig& run, const run::StageConfig& stage,
                    const std::vector<int64_t>& widths) {
  const int64_t widest = *std::max_element(widths.begin(), widths.end());
  const uint64_t needed = least_bytes(run, stage, widest), free = available_memory_bytes();
  if (needed <= free) return;
  throw UserError(
      fmt::format("the coordinate check: the model of width {} needs more than {} of main memory, "
                  "and {} are free. Name narrower widths.",
                  widest, human_bytes(needed), human_bytes(free)),
      ExitCode::kDevice);
}

void require_finite(const CoordinateCheck& check, const run::StageConfig& stage, int64_t steps) {
  std::vector<std::string> widths;
  for (size_t i = 0; i < check.widths.size(); ++i)
    if (std::any_of(check.rows.begin(), check.rows.end(), [&](const auto& row) {
          return !std::isfinite(row.before[i]) || !std::isfinite(row.change[i]);
        }))
      widths.push_back(std::to_string(check.widths[i]));
  if (widths.empty()) return;
  throw UserError(
      fmt::format("stage {}: after {} steps with a learning rate of {} the outputs are not finite at these "
                  "widths: {}. Set a lower stages.{}.optimizer.lr.",
                  stage.name, steps, stage.optimizer.lr, join(widths, ", "), stage.name),
      ExitCode::kNumerics);
}

}  // namespace

CoordinateCheck coordinate_check(const run::RunConfig& run, const run::StageConfig& stage,
                                 const CoordinateCheckOptions& options) {
  CoordinateCheck check{.widths = options.widths.empty() ? usual_widths(run, stage) : options.widths,
                        .rows = {}};
  require_widths(run, check.widths);
  require_memory(run, stage, check.widths);
  for (const int64_t width : check.widths) {
    MeanSquares before, change;
    std::vector<std::string> kinds;
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      TrainedWidth trained(run, stage, width, uint64_t(run.seed + seed), options.batch_size);
      kinds = trained.kinds();
      const Outputs first = trained.outputs();
      for (int64_t step = 0; step < options.steps; ++step) trained.step(step, stage.optimizer.lr);
      const Outputs last = trained.outputs();
      for (const auto& [layer, values] : first) {
        before.add(kind_of(layer), values);
        change.add(kind_of(layer), last.at(layer) - values);
      }
    }
    if (check.rows.empty())
      for (const auto& kind : kinds)
        check.rows.push_back({.layer = kind, .before = {}, .change = {}, .slope = {}});
    for (auto& row : check.rows)
      row.before.push_back(before.root(row.layer)), row.change.push_back(change.root(row.layer));
  }
  require_finite(check, stage, options.steps);
  std::erase_if(check.rows, [](const auto& row) {
    return std::all_of(row.change.begin(), row.change.end(), [](double value) { return value == 0; });
  });
  for (auto& row : check.rows) row.slope = slope_of(check.widths, row.change);
  return check;
}

}  // namespace pixart::train
