#include "pixart/diffusion/consistency.h"

#include <ATen/ATen.h>

#include <cmath>

#include "estimate.h"
#include "pixart/base/error.h"

namespace pixart::diffusion {

namespace {

constexpr double kDataVariance = 0.25;   // sigma_data = 0.5
constexpr double kTimestepScale = 10.0;  // the answer equals the input only at t = 0

}  // namespace

void ConsistencyConfig::validate(std::vector<std::string>& problems) const {
  if (least_guidance > most_guidance)
    problems.push_back(
        fmt::format("least_guidance {} is more than most_guidance {}", least_guidance, most_guidance));
}

BoundaryScalings boundary_scalings(double timestep) {
  const double scaled = kTimestepScale * timestep, spread = scaled * scaled + kDataVariance;
  return {.skip = kDataVariance / spread, .out = scaled / std::sqrt(spread)};
}

// All [B, 1, 1, 1] except the timestep, which is [B].
struct ConsistencyLoss::Point {
  at::Tensor timestep, alpha, sigma, skip, out;
};

ConsistencyLoss::ConsistencyLoss(const NoiseSchedule& full, const ConsistencyConfig& config,
                                 at::Device device)
    : prediction_(full.prediction), huber_width_(config.huber_width) {
  PIXART_CHECK(full.num_steps() == full.num_train_steps && full.num_train_steps % kConsistencySteps == 0,
               "consistency with {} of {} steps", full.num_steps(), full.num_train_steps);
  const int64_t stride = full.num_train_steps / kConsistencySteps;
  const auto table = [&](int64_t first) {
    at::Tensor result = at::empty({kNumRows, kConsistencySteps}, at::kDouble);
    for (int64_t i = 0; i < kConsistencySteps; ++i) {
      const int64_t t = std::max<int64_t>(0, first + i * stride);
      const auto scalings = boundary_scalings(double(t));
      const double values[kNumRows] = {full.sqrt_alphas_cumprod[size_t(t)],
                                       full.sqrt_one_minus_alphas_cumprod[size_t(t)], double(t),
                                       scalings.skip, scalings.out};
      for (int64_t row = 0; row < kNumRows; ++row) result[row][i] = values[row];
    }
    return result.to(at::kFloat).to(device);
  };
  start_ = table(stride - 1);
  end_ = table(-1);
}

ConsistencyLoss::Point ConsistencyLoss::point(const at::Tensor& table, const at::Tensor& index) const {
  const at::Tensor values = table.index_select(1, index);
  const auto per_sample = [&](Row row) { return values[row].view({-1, 1, 1, 1}); };
  return {.timestep = values[kTimestep],
          .alpha = per_sample(kAlpha),
          .sigma = per_sample(kSigma),
          .skip = per_sample(kSkip),
          .out = per_sample(kOut)};
}

at::Tensor ConsistencyLoss::answer(const Denoiser& network, const Point& point,
                                   const at::Tensor& latent) const {
  const at::Tensor output =
      network(latent, point.timestep).narrow(1, 0, latent.size(1)).to(latent.scalar_type());
  return point.skip * latent + point.out * xstart_from(prediction_, output, latent, point.alpha, point.sigma);
}

// The predictions are guided, which is the same as to guide both x_0 and the noise.
at::Tensor ConsistencyLoss::solver_step(const Denoiser& teacher_pair, const Point& from, const Point& to,
                                        const at::Tensor& latent, const at::Tensor& guidance) const {
  const auto halves =
      teacher_pair(latent, from.timestep).narrow(1, 0, latent.size(1)).to(latent.scalar_type()).chunk(2);
  const at::Tensor output = halves[1] + guidance.view({-1, 1, 1, 1}) * (halves[0] - halves[1]);
  return to.alpha * xstart_from(prediction_, output, latent, from.alpha, from.sigma) +
         to.sigma * noise_from(prediction_, output, latent, from.alpha, from.sigma);
}

at::Tensor ConsistencyLoss::losses(const ConsistencyNetworks& networks, const at::Tensor& x_start,
                                   const at::Tensor& noise, const at::Tensor& index,
                                   const at::Tensor& guidance) const {
  const Point start = point(start_, index), end = point(end_, index);
  const at::Tensor latent = start.alpha * x_start + start.sigma * noise;
  const at::Tensor own = answer(networks.student, start, latent);
  at::Tensor wanted;
  {
    at::NoGradGuard no_grad;
    wanted = answer(networks.target, end, solver_step(networks.teacher_pair, start, end, latent, guidance));
  }
  const at::Tensor distance = ((own - wanted).square() + huber_width_ * huber_width_).sqrt() - huber_width_;
  return distance.flatten(1).mean(1);
}

}  // namespace pixart::diffusion
