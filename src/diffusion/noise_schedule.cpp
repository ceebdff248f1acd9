#include "pixart/diffusion/noise_schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::diffusion {

namespace {

constexpr double kMaxCosineBeta = 0.999;

// The published betas are for 1000 steps; with fewer steps they are proportionally larger.
std::vector<double> linear_betas(int64_t steps) {
  const double scale = 1000.0 / double(steps), first = 1e-4 * scale, last = 0.02 * scale;
  std::vector<double> betas(size_t(steps), first);
  for (size_t i = 1; i < betas.size(); ++i) betas[i] = first + (last - first) * double(i) / double(steps - 1);
  return betas;
}

std::vector<double> cosine_betas(int64_t steps) {
  const auto f = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
  std::vector<double> betas;
  for (int64_t i = 0; i < steps; ++i) {
    betas.push_back(
        std::min(1 - f(double(i + 1) / double(steps)) / f(double(i) / double(steps)), kMaxCosineBeta));
  }
  return betas;
}

struct NamedBetas {
  const char* name;
  std::vector<double> (*make)(int64_t steps);
};
constexpr NamedBetas kSchedules[] = {{"linear", linear_betas}, {"squaredcos_cap_v2", cosine_betas}};

std::vector<double> full_betas(const std::string& name, int64_t steps) {
  if (steps < 1)
    throw UserError(
        fmt::format("A noise schedule cannot have {} training steps; expected at least 1.", steps));
  auto betas = row_named(kSchedules, name, "noise schedule").make(steps);
  if (*std::max_element(betas.begin(), betas.end()) >= 1)
    throw UserError(
        fmt::format("The {} noise schedule has a beta of 1 or more with {} training steps; use more than 20.",
                    name, steps));
  return betas;
}

// Moves and stretches sqrt(alphas_cumprod) so that its last value is 0 and the first stays (Lin et al. 2024,
// algorithm 1).
std::vector<double> with_zero_terminal_snr(const std::vector<double>& betas) {
  std::vector<double> roots;
  double product = 1;
  for (const double beta : betas) roots.push_back(std::sqrt(product *= 1 - beta));
  const double first = roots.front(), last = roots.back();
  for (double& root : roots) root = (root - last) * (first / (first - last));
  std::vector<double> result = {1 - roots[0] * roots[0]};
  for (size_t i = 1; i < roots.size(); ++i)
    result.push_back(1 - roots[i] * roots[i] / (roots[i - 1] * roots[i - 1]));
  return result;
}

[[noreturn]] void refuse_respacing(const std::string& respacing, const std::string& reason) {
  throw UserError(fmt::format(
      "The respacing '{}' is impossible: {}. Write \"\" for all steps, \"ddimN\" for a whole stride that "
      "leaves N steps, or step counts per section as in \"100\" or \"10,15,20\".",
      respacing, reason));
}

int64_t parse_count(const std::string& respacing, std::string_view text) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1) {
    refuse_respacing(respacing, fmt::format("'{}' is not a number of steps", text));
  }
  return count;
}

std::vector<int64_t> whole_stride_steps(const std::string& respacing, int64_t steps, int64_t wanted) {
  for (int64_t stride = 1; stride <= steps; ++stride) {
    if ((steps + stride - 1) / stride != wanted) continue;
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < steps; i += stride) kept.push_back(i);
    return kept;
  }
  refuse_respacing(respacing, fmt::format("no whole stride leaves exactly {} of {} steps", wanted, steps));
}

// The fractional stride is summed, then rounded, ties to even: the samplers of the released checkpoints use
// indices that depend on this order.
std::vector<int64_t> sectioned_steps(const std::string& respacing, int64_t steps,
                                     const std::vector<int64_t>& counts) {
  const int64_t num_sections = int64_t(counts.size());
  std::vector<int64_t> kept;
  int64_t start = 0;
  for (int64_t section = 0; section < num_sections; ++section) {
    const int64_t size = steps / num_sections + (section < steps % num_sections ? 1 : 0);
    const int64_t count = counts[size_t(section)];
    if (count > size)
      refuse_respacing(respacing, fmt::format("{} steps of a section that has {}", count, size));
    const double stride = count == 1 ? 1.0 : double(size - 1) / double(count - 1);
    double position = 0;
    for (int64_t i = 0; i < count; ++i, position += stride) kept.push_back(start + std::llrint(position));
    start += size;
  }
  return kept;
}

std::vector<int64_t> kept_steps(const std::string& respacing, int64_t steps) {
  constexpr std::string_view kWholeStride = "ddim";
  if (respacing.empty()) return sectioned_steps(respacing, steps, {steps});
  if (respacing.starts_with(kWholeStride)) {
    const auto count = std::string_view(respacing).substr(kWholeStride.size());
    return whole_stride_steps(respacing, steps, parse_count(respacing, count));
  }
  std::vector<int64_t> counts;
  for (size_t begin = 0; begin <= respacing.size();) {
    const size_t end = std::min(respacing.find(',', begin), respacing.size());
    counts.push_back(parse_count(respacing, std::string_view(respacing).substr(begin, end - begin)));
    begin = end + 1;
  }
  return sectioned_steps(respacing, steps, counts);
}

std::vector<double> respaced_betas(const std::vector<double>& betas, const std::vector<int64_t>& kept) {
  std::vector<double> result;
  double product = 1, previous = 1;
  size_t next = 0;
  for (size_t i = 0; i < betas.size() && next < kept.size(); ++i) {
    product *= 1 - betas[i];
    if (int64_t(i) != kept[next]) continue;
    result.push_back(1 - product / previous);
    previous = product;
    ++next;
  }
  return result;
}

void fill_products(NoiseSchedule& s) {
  double product = 1;
  for (const double beta : s.betas) {
    s.alphas_cumprod_prev.push_back(product);
    product *= 1 - beta;
    s.alphas_cumprod.push_back(product);
  }
  s.alphas_cumprod_next.assign(s.alphas_cumprod.begin() + 1, s.alphas_cumprod.end());
  s.alphas_cumprod_next.push_back(0);
  for (const double product_i : s.alphas_cumprod) {
    s.sqrt_alphas_cumprod.push_back(std::sqrt(product_i));
    s.sqrt_one_minus_alphas_cumprod.push_back(std::sqrt(1 - product_i));
    s.log_one_minus_alphas_cumprod.push_back(std::log(1 - product_i));
    s.sqrt_recip_alphas_cumprod.push_back(std::sqrt(1 / product_i));
    s.sqrt_recipm1_alphas_cumprod.push_back(std::sqrt(1 / product_i - 1));
  }
}

void fill_posterior(NoiseSchedule& s) {
  for (size_t i = 0; i < s.betas.size(); ++i) {
    const double beta = s.betas[i], previous = s.alphas_cumprod_prev[i], rest = 1 - s.alphas_cumprod[i];
    s.posterior_variance.push_back(beta * (1 - previous) / rest);
    s.posterior_mean_coef1.push_back(beta * std::sqrt(previous) / rest);
    s.posterior_mean_coef2.push_back((1 - previous) * std::sqrt(1 - beta) / rest);
    s.log_betas.push_back(std::log(beta));
    s.posterior_log_variance_clipped.push_back(std::log(s.posterior_variance[i]));
  }
  // The posterior of the least noisy step has variance zero, and the loss cannot use its logarithm. The value
  // of the next step is used instead, or beta if there is only one step.
  s.posterior_log_variance_clipped[0] =
      s.num_steps() > 1 ? s.posterior_log_variance_clipped[1] : s.log_betas[0];
  s.fixed_large_log_variance = s.log_betas;
  s.fixed_large_log_variance[0] = s.posterior_log_variance_clipped[0];
}

}  // namespace

double shifted(double sigma, double shift) { return shift * sigma / (1 + (shift - 1) * sigma); }

NoiseSchedule make_noise_schedule(const std::string& name, int64_t num_train_steps,
                                  const std::string& respacing) {
  Process process;
  process.schedule = name;
  process.num_train_steps = num_train_steps;
  return make_noise_schedule(process, respacing);
}

NoiseSchedule make_noise_schedule(const Process& process, const std::string& respacing) {
  PIXART_CHECK(!process.is_flow(), "a schedule of betas for a straight path");
  PIXART_CHECK(!process.zero_terminal_snr || process.prediction != Prediction::kEpsilon,
               "a model that predicts the noise of pure noise");
  auto betas = full_betas(process.schedule, process.num_train_steps);
  if (process.zero_terminal_snr) betas = with_zero_terminal_snr(betas);
  NoiseSchedule schedule;
  schedule.num_train_steps = process.num_train_steps;
  schedule.prediction = process.prediction;
  schedule.timestep_map = kept_steps(respacing, process.num_train_steps);
  schedule.betas = respaced_betas(betas, schedule.timestep_map);
  fill_products(schedule);
  fill_posterior(schedule);
  return schedule;
}

ContinuousSchedule::ContinuousSchedule(const NoiseSchedule& full) : steps_(full.num_train_steps) {
  PIXART_CHECK(full.num_steps() == steps_, "the continuous schedule of {} kept steps of {}", full.num_steps(),
               steps_);
  PIXART_CHECK(steps_ > 1, "a continuous schedule through one point");
  for (const double product : full.alphas_cumprod)
    log_alphas_.push_back(0.5 * std::log(product > 0 ? product : kSmallestAlphasCumprod));
}

double ContinuousSchedule::log_alpha(double t) const {
  const double position = t * double(steps_) - 1;
  const auto left = size_t(std::clamp(std::floor(position), 0.0, double(steps_ - 2)));
  return log_alphas_[left] + (position - double(left)) * (log_alphas_[left + 1] - log_alphas_[left]);
}

double ContinuousSchedule::alpha(double t) const { return std::exp(log_alpha(t)); }
double ContinuousSchedule::sigma(double t) const { return std::sqrt(-std::expm1(2 * log_alpha(t))); }
double ContinuousSchedule::lambda(double t) const { return log_alpha(t) - std::log(sigma(t)); }
double ContinuousSchedule::model_t(double t) const { return (t - 1 / double(steps_)) * 1000; }

}  // namespace pixart::diffusion
