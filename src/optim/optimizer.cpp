#include "pixart/optim/optimizer.h"

#include "adamw_parts.h"
#include "pixart/base/error.h"
#include "rates.h"

namespace pixart::optim {

namespace {

AdamWConfig adamw_config(const OptimizerConfig& config) {
  return {.betas = config.betas, .eps = *config.eps, .weight_decay = *config.weight_decay};
}

CameConfig came_config(const OptimizerConfig& config) {
  return {.betas = config.betas,
          .eps = *config.eps,
          .residual_eps = *config.residual_eps,
          .clip_threshold = *config.clip_threshold,
          .weight_decay = *config.weight_decay};
}

MuonConfig muon_config(const OptimizerConfig& config) {
  return {.momentum = config.betas[0],
          .others = {.betas = {config.betas[1], config.betas[2]},
                     .eps = *config.eps,
                     .weight_decay = *config.weight_decay}};
}

// `all`: of the model's parameters, of which `parameters` may be a part.
std::vector<int64_t> matrices_of(const FlatParameters& parameters, const std::vector<int64_t>& all) {
  std::vector<int64_t> result;
  for (const size_t i : parameters.indices()) result.push_back(all.empty() ? 0 : all.at(i));
  return result;
}

// The published values of an optimizer.
struct Published {
  std::vector<double> betas;
  double eps, weight_decay;
};

Published published(OptimizerName name) {
  const MuonConfig muon;
  const auto& others = muon.others;
  const CameConfig came;
  const AdamWConfig adamw;
  if (name == OptimizerName::kCame) return {came.betas, came.eps, came.weight_decay};
  if (name == OptimizerName::kMuon)
    return {{muon.momentum, others.betas[0], others.betas[1]}, others.eps, others.weight_decay};
  return {adamw.betas, adamw.eps, adamw.weight_decay};
}

}  // namespace

void OptimizerConfig::validate(std::vector<std::string>& problems) const {
  const bool is_came = name == OptimizerName::kCame;
  const size_t num_betas = name == OptimizerName::kAdamW ? 2 : 3;
  if (!betas.empty() && betas.size() != num_betas)
    problems.push_back(
        fmt::format("betas has {} elements, but {} takes {}", betas.size(), word_of(name), num_betas));
  for (const auto& [key, value] :
       {std::pair{"residual_eps", residual_eps}, std::pair{"clip_threshold", clip_threshold}}) {
    if (!is_came && value)
      problems.push_back(fmt::format("{} has an effect only with name: came; remove it", key));
  }
  if (!no_decay.empty() && *resolved(*this).weight_decay == 0)
    problems.push_back("no_decay has no effect with weight_decay 0; remove it, or set weight_decay");
}

OptimizerConfig resolved(OptimizerConfig config) {
  const Published unset = published(config.name);
  if (config.betas.empty()) config.betas = unset.betas;
  config.eps = config.eps.value_or(unset.eps);
  config.weight_decay = config.weight_decay.value_or(unset.weight_decay);
  if (config.name == OptimizerName::kCame) {
    const CameConfig came;
    config.residual_eps = config.residual_eps.value_or(came.residual_eps);
    config.clip_threshold = config.clip_threshold.value_or(came.clip_threshold);
  }
  return config;
}

Optimizer::Optimizer(const OptimizerConfig& config, const FlatParameters& parameters,
                     const std::vector<int64_t>& matrices, const std::vector<std::vector<double>>& rates)
    : name_(config.name) {
  auto ranges = rate_ranges(parameters, rates);
  PIXART_CHECK(ranges.empty() || name_ == OptimizerName::kAdamW, "{} with several learning rates",
               word_of(name_));
  const OptimizerConfig full = resolved(config);
  switch (name_) {
    case OptimizerName::kAdamW: {
      AdamWState state = make_adamw_state(parameters.values());
      if (!ranges.empty()) state.numbers = adamw_numbers(ranges.size(), parameters.values().device());
      method_ = AdamW{adamw_config(full), std::move(state), std::move(ranges)};
      break;
    }
    case OptimizerName::kCame:
      method_ = Came{came_config(full), make_came_state(parameters)};
      break;
    case OptimizerName::kMuon: {
      auto own = matrices_of(parameters, matrices);
      MuonState state = make_muon_state(parameters, own);
      method_ = Muon{muon_config(full), std::move(own), std::move(state)};
      break;
    }
  }
}

void Optimizer::step(const FlatParameters& parameters, double lr, const GradientScale& gradient_scale,
                     const at::Tensor& ema, double ema_decay) {
  if (auto* came = std::get_if<Came>(&method_)) {
    came_step(parameters, came->state, came->config, lr, gradient_scale, ema, ema_decay);
    return;
  }
  if (auto* muon = std::get_if<Muon>(&method_)) {
    muon_step(parameters, muon->matrices, muon->state, muon->config, lr, gradient_scale, ema, ema_decay);
    return;
  }
  auto& adamw = std::get<AdamW>(method_);
  if (!adamw.rates.empty()) {
    adamw_step_in_ranges(parameters, adamw.state, adamw.config, lr, gradient_scale, ema, ema_decay,
                         adamw.rates);
    return;
  }
  at::Tensor values = parameters.values();
  adamw_step(values, parameters.gradients(), adamw.state, adamw.config, lr, gradient_scale, ema, ema_decay,
             parameters.num_decayed(), parameters.rounded());
}

int64_t& Optimizer::steps() {
  return std::visit([](auto& method) -> int64_t& { return method.state.steps; }, method_);
}

std::vector<StateTensor> Optimizer::state(const FlatParameters& parameters) const {
  std::vector<StateTensor> result;
  const auto add_flat = [&](const char* key, const at::Tensor& flat) {
    const auto views = parameters.views(flat);
    for (size_t i = 0; i < views.size(); ++i) result.push_back({key, parameters.indices()[i], views[i]});
  };
  if (const auto* adamw = std::get_if<AdamW>(&method_)) {
    add_flat("exp_avg", adamw->state.exp_avg);
    add_flat("exp_avg_sq", adamw->state.exp_avg_sq);
    return result;
  }
  if (const auto* muon = std::get_if<Muon>(&method_)) {
    add_flat("exp_avg", muon->state.exp_avg);
    for (size_t i = 0; i < muon->state.exp_avg_sq.size(); ++i)
      if (const auto& moment = muon->state.exp_avg_sq[i]; moment.defined())
        result.push_back({"exp_avg_sq", parameters.indices()[i], moment});
    return result;
  }
  const auto& came = std::get<Came>(method_).state;
  add_flat("exp_avg", came.exp_avg);
  for (size_t i = 0; i < came.moments.size(); ++i) {
    const auto& moments = came.moments[i];
    for (const auto& [key, tensor] :
         {std::pair{"exp_avg_sq", moments.exp_avg_sq}, std::pair{"exp_avg_sq_row", moments.exp_avg_sq_row},
          std::pair{"exp_avg_sq_col", moments.exp_avg_sq_col},
          std::pair{"exp_avg_res_row", moments.exp_avg_res_row},
          std::pair{"exp_avg_res_col", moments.exp_avg_res_col}}) {
      if (tensor.defined()) result.push_back({key, parameters.indices()[i], tensor});
    }
  }
  return result;
}

}  // namespace pixart::optim
