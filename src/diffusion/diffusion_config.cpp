#include "pixart/diffusion/diffusion_config.h"

namespace pixart::diffusion {

namespace {

// "KEY has no effect with OTHER: WORD, ..." for a key that differs from its default.
template <class Enum>
void idle(std::vector<std::string>& problems, const char* key, const char* other, Enum value,
          const char* owner) {
  problems.push_back(
      fmt::format("{} has no effect with {}: {}; it is a key of {}", key, other, word_of(value), owner));
}

void check_prediction(const DiffusionConfig& c, std::vector<std::string>& problems) {
  if (c.zero_terminal_snr && c.prediction == Prediction::kEpsilon)
    problems.push_back(
        "zero_terminal_snr needs prediction: v or x_start; in pure noise, the noise does not tell the image");
  if (c.zero_terminal_snr && c.prediction == Prediction::kFlow)
    problems.push_back("zero_terminal_snr has no effect with prediction: flow, which has it anyway");
  if (c.shift != 1 && c.prediction != Prediction::kFlow)
    idle(problems, "shift", "prediction", c.prediction, "flow");
  if (trains_variance(c.prediction)) return;
  if (c.variational_bound != BoundUse::kAdded)
    idle(problems, "variational_bound", "prediction", c.prediction, "epsilon and x_start");
  if (c.loss_weighting == LossWeighting::kReleasedSnr)
    problems.push_back(fmt::format("loss_weighting: {} is for prediction: epsilon and x_start, not {}",
                                   word_of(c.loss_weighting), word_of(c.prediction)));
}

}  // namespace

void DiffusionConfig::validate(std::vector<std::string>& problems) const {
  const DiffusionConfig usual;
  check_prediction(*this, problems);
  const bool is_logit_normal = timesteps == TimestepDraw::kLogitNormal;
  if (!is_logit_normal && logit_mean != usual.logit_mean)
    idle(problems, "logit_mean", "timesteps", timesteps, "logit_normal");
  if (!is_logit_normal && logit_std != usual.logit_std)
    idle(problems, "logit_std", "timesteps", timesteps, "logit_normal");
  if (loss_weighting != LossWeighting::kMinSnr && min_snr_gamma != usual.min_snr_gamma)
    idle(problems, "min_snr_gamma", "loss_weighting", loss_weighting, "min_snr");
  if (loss_weighting != LossWeighting::kP2 && p2_gamma != usual.p2_gamma)
    idle(problems, "p2_gamma", "loss_weighting", loss_weighting, "p2");
  if (loss_weighting != LossWeighting::kNone && variational_bound == BoundUse::kOnly)
    problems.push_back("loss_weighting has no effect with variational_bound: only, which is the whole loss");
}

Process DiffusionConfig::process() const {
  Process result;
  result.prediction = prediction;
  result.zero_terminal_snr = zero_terminal_snr;
  result.shift = shift;
  return result;
}

DiffusionConfig DiffusionConfig::held_out_loss() const {
  DiffusionConfig result;
  result.prediction = prediction;
  result.zero_terminal_snr = zero_terminal_snr;
  result.shift = shift;
  result.variational_bound = variational_bound;
  return result;
}

std::vector<std::string> diffusion_keys() {
  std::vector<std::string> keys;
  DiffusionConfig config;
  DiffusionConfig::fields(config, [&keys](const char* key, auto&&...) { keys.emplace_back(key); });
  return keys;
}

}  // namespace pixart::diffusion
