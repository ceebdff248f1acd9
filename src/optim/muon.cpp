#include "pixart/optim/muon.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "adamw_parts.h"
#include "pixart/base/error.h"

namespace pixart::optim {

namespace {

constexpr int kNewtonSchulzSteps = 5;
constexpr double kLinear = 3.4445, kCubic = -4.775, kQuintic = 2.0315;
constexpr double kSmallestNorm = 1e-7;
constexpr double kUpdateScale = 0.2;  // the usual root mean square of AdamW's updates

// Parts of names of layers that see inputs, conditions or outputs, and of adapters.
constexpr const char* kOthers[] = {"_embedder.", "final_layer.", ".lora_"};

// Layers that compute several things at once.
constexpr std::pair<const char*, int64_t> kStacked[] = {
    {".qkv.weight", 3}, {".kv_linear.weight", 2}, {"adaLN_modulation.1.weight", 6}, {"t_block.1.weight", 6}};

struct Step {
  const MuonConfig& config;
  double lr, gradient_scale;
};

void update_matrices(at::Tensor values, const at::Tensor& gradient, at::Tensor momentum, int64_t count,
                     bool decays, const Step& step) {
  const double beta = step.config.momentum;
  const at::Tensor scaled = gradient * step.gradient_scale;
  momentum.lerp_(scaled, 1 - beta);
  const int64_t rows = values.size(0) / count, columns = values.size(1);
  const at::Tensor direction = newton_schulz(scaled.lerp(momentum, beta).view({count, rows, columns}));
  if (decays) values.mul_(1 - step.lr * step.config.others.weight_decay);
  const double size = kUpdateScale * std::sqrt(double(std::max(rows, columns)));
  values.sub_(direction.reshape(values.sizes()), step.lr * size);
}

}  // namespace

int64_t matrices_in(const std::string& name, at::IntArrayRef shape) {
  if (shape.size() != 2 || !name.ends_with("weight")) return 0;
  for (const char* part : kOthers)
    if (name.find(part) != std::string::npos) return 0;
  for (const auto& [end, count] : kStacked)
    if (name.ends_with(end) && shape[0] % count == 0) return count;
  return 1;
}

MuonState make_muon_state(const FlatParameters& parameters, const std::vector<int64_t>& matrices) {
  PIXART_CHECK(matrices.size() == parameters.num_parameters(), "matrices of {} parameters for {}",
               matrices.size(), parameters.num_parameters());
  MuonState state{.exp_avg = at::zeros_like(parameters.values()), .exp_avg_sq = {}, .steps = 0};
  state.numbers =
      adamw_numbers(size_t(std::count(matrices.begin(), matrices.end(), 0)), parameters.values().device());
  const auto views = parameters.views(parameters.values());
  for (size_t i = 0; i < views.size(); ++i)
    state.exp_avg_sq.push_back(matrices[i] > 0 ? at::Tensor() : at::zeros_like(views[i]));
  return state;
}

at::Tensor newton_schulz(const at::Tensor& matrices) {
  const bool is_tall = matrices.size(1) > matrices.size(2);
  at::Tensor x = matrices.is_cpu() ? matrices : matrices.to(at::kBFloat16);
  if (is_tall) x = x.transpose(1, 2);
  x = x / at::linalg_matrix_norm(x).clamp_min(kSmallestNorm).view({-1, 1, 1});
  for (int i = 0; i < kNewtonSchulzSteps; ++i) {
    const at::Tensor gram = at::bmm(x, x.transpose(1, 2));
    x = at::baddbmm(x, at::baddbmm(gram, gram, gram, kCubic, kQuintic), x, kLinear);
  }
  return (is_tall ? x.transpose(1, 2) : x).to(matrices.scalar_type());
}

void muon_step(const FlatParameters& parameters, const std::vector<int64_t>& matrices, MuonState& state,
               const MuonConfig& config, double lr, const GradientScale& gradient_scale,
               const at::Tensor& ema, double ema_decay) {
  const at::NoGradGuard no_grad;
  const auto values = parameters.views(parameters.values()),
             gradients = parameters.views(parameters.gradients()), averages = parameters.views(state.exp_avg);
  std::vector<AdamWPart> others;
  for (size_t i = 0; i < values.size(); ++i) {
    if (matrices[i] > 0) {
      update_matrices(values[i], gradients[i], averages[i], matrices[i], parameters.decays(i),
                      {config, lr, gradient_scale.factor});
      continue;
    }
    others.push_back({.values = values[i].flatten(),
                      .gradients = gradients[i].flatten(),
                      .exp_avg = averages[i].flatten(),
                      .exp_avg_sq = state.exp_avg_sq[i].flatten(),
                      .ema = {},
                      .rounded = {},
                      .lr = lr,
                      .weight_decay = config.others.weight_decay,
                      .num_decayed = parameters.decays(i) ? kAllDecay : 0});
  }
  ++state.steps;
  adamw_step_of_parts(std::move(others), config.others, state.steps, gradient_scale, 0, state.numbers);
  finish_values(parameters.values(), ema, ema_decay, parameters.rounded());
}

}  // namespace pixart::optim
