#include <ATen/ATen.h>

#include <cmath>

#include "pixart/diffusion/samplers.h"
#include "solver_grid.h"

namespace pixart::diffusion {

namespace {

// What the model said at a point.
struct UniPcNode {
  const GridPoint* point;
  at::Tensor xstart;
};

// The step from `last` to a point, in the B(h) = e^h - 1 form of UniPC, h = -(lambda_to - lambda_last).
class UniPcStep {
 public:
  UniPcStep(const at::Tensor& latent, const UniPcNode& last, const GridPoint& to)
      : last_(last),
        h_(last.point->lambda - to.lambda),
        scale_(to.alpha * std::expm1(h_)),
        base_((to.sigma / last.point->sigma) * latent - scale_ * last.xstart) {}

  at::Tensor first_order() const { return base_; }
  at::Tensor predict(const UniPcNode& before) const { return base_ - scale_ * 0.5 * slope(before); }
  at::Tensor correct(const UniPcNode& next) const {
    return base_ - scale_ * 0.5 * (next.xstart - last_.xstart);
  }

  // The weights solve rho_0 + rho_1 = b_1, r rho_0 + rho_1 = b_2, which makes the step of third order.
  at::Tensor correct(const UniPcNode& next, const UniPcNode& before) const {
    const double growth = std::expm1(h_), first = growth / h_ - 1, second = first / h_ - 0.5;
    const double b1 = first / growth, b2 = 2 * second / growth, rho0 = (b1 - b2) / (1 - ratio(before));
    return base_ - scale_ * (rho0 * slope(before) + (b1 - rho0) * (next.xstart - last_.xstart));
  }

 private:
  double ratio(const UniPcNode& before) const { return (before.point->lambda - last_.point->lambda) / -h_; }
  at::Tensor slope(const UniPcNode& before) const { return (before.xstart - last_.xstart) / ratio(before); }

  UniPcNode last_;
  double h_, scale_;
  at::Tensor base_;
};

SolverGrid grid_of(const Process& process, int64_t num_steps) {
  return process.is_flow() ? flow_unipc_grid(process, num_steps)
                           : whole_step_grid(make_noise_schedule(process), num_steps);
}

}  // namespace

at::Tensor sample_unipc(const Denoiser& denoiser, const Process& process, at::Tensor latent,
                        int64_t num_steps, const StepCallback& callback) {
  const auto grid = grid_of(process, num_steps);
  std::vector<UniPcNode> nodes;  // of the last two points
  at::Tensor predicted = latent;
  for (int64_t k = 0; k < num_steps; ++k) {
    const UniPcNode here{&grid[k], predict_xstart(denoiser, grid, grid[k], predicted)};
    if (k > 0) {
      const UniPcStep step(latent, nodes.back(), grid[k]);
      latent = k == 1 ? step.correct(here) : step.correct(here, nodes.front());
    }
    nodes.push_back(here);
    if (nodes.size() > 2) nodes.erase(nodes.begin());
    const UniPcStep step(latent, here, grid[k + 1]);
    const bool first_order = k == 0 || grid[k + 1].is_clean();
    predicted = first_order ? step.first_order() : step.predict(nodes.front());
    if (callback) callback(k + 1, predicted);
  }
  return predicted;
}

}  // namespace pixart::diffusion
