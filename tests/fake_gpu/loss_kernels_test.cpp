// The kernels of src/diffusion against plain formulas in double, on the CPU.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "loss.h"
#include "noising.h"
#include "pixart/base/philox.h"
#include "pixart/base/random.h"

namespace pixart::diffusion::kernels {
namespace {

std::vector<float> normal_values(size_t count, unsigned seed, float spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// How many float32 numbers a is away from b.
int64_t distance_in_units(float a, float b) {
  const float unit = std::nextafter(std::abs(b), std::numeric_limits<float>::infinity()) - std::abs(b);
  return std::llround(std::abs(double(a) - double(b)) / double(unit));
}

const std::vector<int64_t> kPositions = {0, 1, 7, 1000003, (int64_t{1} << 40) + 5};

TEST(Normals, TheIntegersAreThoseOfTheHost) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{42}, ~uint64_t{0}})
    for (const Purpose purpose : {Purpose::kNoise, Purpose::kPosterior})
      for (const int64_t position : kPositions)
        for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 33}) {
          const auto block = philox_block(philox_key(seed, uint32_t(purpose)), uint64_t(position), index);
          EXPECT_THAT(philox({seed, uint64_t(position), purpose}, index),
                      ::testing::ElementsAreArray(block.words));
        }
}

TEST(Normals, TheNumbersAreOneUnitFromTheHostsAtMost) {
  int64_t worst = 0, unequal = 0, all = 0;
  for (const int64_t size : {1, 3, 4, 7, 4096, 20001}) {
    NoisingSizes sizes{};
    sizes.batch = int64_t(kPositions.size());
    sizes.per_image = size;
    sizes.noise_key = philox_key(9, uint32_t(Purpose::kNoise));
    std::vector<float> drawn(size_t(sizes.batch * size)), expected(drawn.size());
    ASSERT_EQ(normals_cuda(kPositions.data(), drawn.data(), sizes, nullptr), nullptr);
    for (size_t row = 0; row < kPositions.size(); ++row)
      fill_normal({9, uint64_t(kPositions[row]), Purpose::kNoise},
                  {expected.data() + row * size_t(size), size_t(size)});
    for (size_t i = 0; i < drawn.size(); ++i) {
      const int64_t distance = distance_in_units(drawn[i], expected[i]);
      worst = std::max(worst, distance);
      unequal += distance != 0;
      ++all;
    }
  }
  std::printf("%lld of %lld normal numbers differ from the host's, by %lld units at most\n",
              (long long)unequal, (long long)all, (long long)worst);
  EXPECT_LE(worst, 1);
  EXPECT_LE(unequal, all / 1000);
}

struct Sizes {
  int64_t batch, channels, per_channel;
};

class Noising : public ::testing::TestWithParam<Sizes> {};

struct NoisyImages {
  std::vector<float> x_start, noise, x_t, timestep;
  NoisyImages(size_t images, size_t values) : x_start(values), noise(values), x_t(values), timestep(images) {}
};

TEST_P(Noising, IsTheNoisyLatentOfTheSameNumbers) {
  const auto [batch, channels, per_channel] = GetParam();
  const int64_t n = channels * per_channel, num_steps = 11;
  const auto count = size_t(batch * n);
  const auto mean = normal_values(count, 1), log_var = normal_values(count, 2),
             shift = normal_values(size_t(channels), 3), scale = normal_values(size_t(channels), 4),
             levels = normal_values(size_t(3 * num_steps), 5);
  std::vector<int64_t> t, positions;
  for (int64_t i = 0; i < batch; ++i) t.push_back((i * 7) % num_steps), positions.push_back(100 + 3 * i);
  std::vector<float> given(count), posterior(count);
  for (int64_t i = 0; i < batch; ++i) {
    fill_normal({5, uint64_t(positions[size_t(i)]), Purpose::kNoise}, {given.data() + i * n, size_t(n)});
    fill_normal({5, uint64_t(positions[size_t(i)]), Purpose::kPosterior},
                {posterior.data() + i * n, size_t(n)});
  }
  const NoisingSizes sizes{batch,
                           n,
                           per_channel,
                           num_steps,
                           philox_key(5, uint32_t(Purpose::kNoise)),
                           philox_key(5, uint32_t(Purpose::kPosterior))};
  for (const bool draws : {false, true}) {
    NoisyImages out{size_t(batch), count};
    NoisingBuffers buffers{.mean = mean.data(),
                           .log_var = log_var.data(),
                           .shift = shift.data(),
                           .scale = scale.data(),
                           .given_posterior = draws ? nullptr : posterior.data(),
                           .given_noise = draws ? nullptr : given.data(),
                           .positions = draws ? positions.data() : nullptr,
                           .t = t.data(),
                           .levels = levels.data(),
                           .x_start = out.x_start.data(),
                           .noise = draws ? out.noise.data() : nullptr,
                           .x_t = out.x_t.data(),
                           .timestep = out.timestep.data()};
    ASSERT_EQ(noising_cuda(buffers, sizes, nullptr), nullptr);
    for (size_t i = 0; i < count; ++i) {
      const auto image = i / size_t(n), channel = i % size_t(n) / size_t(per_channel),
                 step = size_t(t[image]);
      const double sample = double(mean[i]) + std::exp(0.5 * double(log_var[i])) * double(posterior[i]);
      const double x_start = (sample - double(shift[channel])) * double(scale[channel]);
      const double x_t =
          double(levels[step]) * x_start + double(levels[size_t(num_steps) + step]) * double(given[i]);
      const double size = 1 + std::abs(sample) + std::abs(x_start) + std::abs(double(given[i]));
      ASSERT_NEAR(out.x_start[i], x_start, 1e-6 * size) << i;
      ASSERT_NEAR(out.x_t[i], x_t, 1e-6 * size) << i;
      ASSERT_EQ(out.timestep[image], levels[size_t(2 * num_steps) + step]);
      if (draws) {
        ASSERT_LE(distance_in_units(out.noise[i], given[i]), 1);
      }
    }
    NoisyImages plain{size_t(batch), count};
    buffers.x_start = plain.x_start.data(), buffers.x_t = plain.x_t.data(),
    buffers.timestep = plain.timestep.data();
    if (draws) buffers.noise = plain.noise.data();
    noising_cpu(buffers, sizes);
    for (size_t i = 0; i < count; ++i) ASSERT_NEAR(out.x_t[i], plain.x_t[i], 1e-5) << i;
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, Noising,
                         ::testing::Values(Sizes{0, 4, 16}, Sizes{1, 1, 1}, Sizes{3, 1, 5}, Sizes{2, 3, 35},
                                           Sizes{5, 4, 256}, Sizes{2, 16, 33}));

// A loss, and how the oracle computes it.
struct Loss {
  Compared compared;
  Bound bound;
  bool predicts_noise, learns_variance, weighted;
};

constexpr double kBoundScale = 3;
constexpr int64_t kSteps = 600;  // more than kSnrNoiseAbove

// Tables of a schedule with linear betas.
struct Schedule {
  std::vector<float> alpha, sigma, weight, recip_alpha, recipm1, coef1, coef2, log_beta, log_variance, fixed;
  Schedule() {
    double product = 1;
    for (int64_t i = 0; i < kSteps; ++i) {
      const double beta = 1e-4 + 0.02 * double(i) / kSteps, before = product;
      product *= 1 - beta;
      const double variance = i == 0 ? 5e-5 : beta * (1 - before) / (1 - product);
      alpha.push_back(float(std::sqrt(product)));
      sigma.push_back(float(std::sqrt(1 - product)));
      weight.push_back(float(0.5 + double(i % 5)));
      recip_alpha.push_back(float(std::sqrt(1 / product)));
      recipm1.push_back(float(std::sqrt(1 / product - 1)));
      coef1.push_back(float(beta * std::sqrt(before) / (1 - product)));
      coef2.push_back(float((1 - before) * std::sqrt(1 - beta) / (1 - product)));
      log_beta.push_back(float(std::log(beta)));
      log_variance.push_back(float(std::log(variance)));
      fixed.push_back(float(std::log(beta)));
    }
  }
  LossTables tables(bool weighted) const {
    return {alpha.data(),       sigma.data(),    weighted ? weight.data() : nullptr,
            recip_alpha.data(), recipm1.data(),  coef1.data(),
            coef2.data(),       log_beta.data(), log_variance.data(),
            fixed.data()};
  }
};

double compared_difference(const Loss& loss, const Schedule& s, size_t t, double p, double x0, double xt,
                           double noise) {
  const double r = double(s.recip_alpha[t]), m = double(s.recipm1[t]);
  switch (loss.compared) {
    case Compared::kNoise:
      return noise - p;
    case Compared::kXStart:
      return x0 - p;
    case Compared::kV:
      return double(s.alpha[t]) * noise - double(s.sigma[t]) * x0 - p;
    case Compared::kFlow:
      return noise - x0 - p;
    case Compared::kEitherOfNoise:
      return t > kSnrNoiseAbove ? noise - p : x0 - (r * xt - m * p);
    case Compared::kEitherOfXStart:
      return t > kSnrNoiseAbove ? noise - (r * xt - p) / m : x0 - p;
  }
  return 0;
}

double distribution(double z) {
  return 0.5 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
}

double bound_in_bits(const Loss& loss, const Schedule& s, size_t t, double p, double v, double x0,
                     double xt) {
  const double c1 = double(s.coef1[t]), c2 = double(s.coef2[t]), low = double(s.log_variance[t]);
  const double predicted = loss.predicts_noise ? double(s.recip_alpha[t]) * xt - double(s.recipm1[t]) * p : p;
  const double mean = c1 * predicted + c2 * xt, true_mean = c1 * x0 + c2 * xt, fraction = (v + 1) / 2;
  const double log_variance =
      loss.learns_variance ? fraction * double(s.log_beta[t]) + (1 - fraction) * low : double(s.fixed[t]);
  if (t > 0)
    return 0.5 *
           (-1 + log_variance - low + std::exp(low - log_variance) +
            std::pow(true_mean - mean, 2) * std::exp(-log_variance)) /
           std::numbers::ln2;
  const double inverse = std::exp(-0.5 * log_variance);
  const double upper = distribution(inverse * (x0 - mean + 1.0 / 255)),
               lower = distribution(inverse * (x0 - mean - 1.0 / 255));
  const double probability = x0 < -0.999 ? upper : x0 > 0.999 ? 1 - lower : upper - lower;
  return -std::log(std::max(probability, 1e-12)) / std::numbers::ln2;
}

struct Images {
  int64_t batch, n, per_output;
  std::vector<float> output, x_start, noise, x_t;
  std::vector<int64_t> t;
  Images(int64_t b, int64_t size, bool two_parts, const Loss& loss, const Schedule& s)
      : batch(b),
        n(size),
        per_output(two_parts ? 2 * size : size),
        output(normal_values(size_t(b * per_output), 11, 0.5F)),
        x_start(normal_values(size_t(b * n), 12)),
        noise(normal_values(size_t(b * n), 13)),
        x_t(size_t(b * n)) {
    constexpr int64_t kTimes[] = {0, 1, 249, 250, 599, 40};
    for (int64_t i = 0; i < b; ++i) t.push_back(kTimes[i % 6]);
    for (size_t i = 0; i < x_start.size(); ++i) {
      const auto step = size_t(t[i / size_t(n)]), at = i / size_t(n) * size_t(per_output) + i % size_t(n);
      x_t[i] = s.alpha[step] * x_start[i] + s.sigma[step] * noise[i];
      // Near the truth, so that no probability is below the smallest one.
      output[at] =
          (loss.predicts_noise ? 0.05F : 0.005F) * output[at] + (loss.predicts_noise ? noise[i] : x_start[i]);
    }
  }
  LossInputs<float> inputs() const {
    return {output.data(), x_start.data(), x_t.data(), noise.data(), t.data()};
  }
};

struct Terms {
  double mse = 0, vb = 0;
};
// Of one element; `p` and `v` apart from the images, for differences.
Terms oracle_terms(const Loss& loss, const Schedule& s, const Images& images, size_t image, size_t i,
                   double p, double v) {
  const size_t at = image * size_t(images.n) + i, t = size_t(images.t[image]);
  const double x0 = double(images.x_start[at]), xt = double(images.x_t[at]), noise = double(images.noise[at]);
  Terms terms;
  if (loss.bound != Bound::kOnly) terms.mse = std::pow(compared_difference(loss, s, t, p, x0, xt, noise), 2);
  if (loss.bound != Bound::kNone) terms.vb = kBoundScale * bound_in_bits(loss, s, t, p, v, x0, xt);
  return terms;
}

double weighted_sum(const Loss& loss, const Schedule& s, int64_t t, const Terms& terms) {
  const double weight = loss.weighted && loss.bound != Bound::kOnly ? double(s.weight[size_t(t)]) : 1;
  return weight * terms.mse + terms.vb;
}

// What rounding both means to float32 changes in the gradient of the bound by the prediction: the published order of operations
// takes their difference, and the bound multiplies it by the precision.
double rounding_of_means(const Loss& loss, const Schedule& s, size_t t, double v, double x0, double xt) {
  const double low = double(s.log_variance[t]), fraction = (v + 1) / 2;
  const double log_variance =
      loss.learns_variance ? fraction * double(s.log_beta[t]) + (1 - fraction) * low : double(s.fixed[t]);
  const double by_prediction = double(s.coef1[t]) * (loss.predicts_noise ? double(s.recipm1[t]) : 1);
  return 2e-7 * (1 + std::abs(x0) + std::abs(xt)) * std::exp(-log_variance) * by_prediction * kBoundScale /
         std::numbers::ln2;
}

class Losses : public ::testing::TestWithParam<Loss> {};

struct Results {
  std::vector<double> partials;
  std::vector<float> values, gradient;
  int64_t batch;
  Results(const Images& images)
      : partials(size_t(2 * images.batch * loss_chunks(images.n))),
        values(size_t(3 * images.batch)),
        gradient(images.output.size()),
        batch(images.batch) {}
  LossResults pointers() {
    return {partials.data(), values.data(), values.data() + batch, values.data() + 2 * batch};
  }
};

void check_losses(const Loss& loss, const Schedule& s, int64_t batch, int64_t n, bool two_parts) {
  const Images images(batch, n, two_parts, loss, s);
  const LossSetting setting{
      loss.compared, loss.bound, loss.predicts_noise, loss.learns_variance,   float(kBoundScale),
      batch,         n,          images.per_output,   s.tables(loss.weighted)};
  const auto scale = normal_values(size_t(batch), 14);
  Results kernel(images), cpu(images);
  ASSERT_EQ(loss_cuda(images.inputs(), setting, kernel.pointers(), nullptr), nullptr);
  ASSERT_EQ(loss_gradient_cuda(images.inputs(), setting, scale.data(), kernel.gradient.data(), nullptr),
            nullptr);
  loss_cpu(images.inputs(), setting, cpu.pointers());
  loss_gradient_cpu(images.inputs(), setting, scale.data(), cpu.gradient.data());
  for (size_t i = 0; i < kernel.values.size(); ++i)
    ASSERT_NEAR(kernel.values[i], cpu.values[i], 1e-6 * std::abs(cpu.values[i])) << i;
  for (size_t i = 0; i < kernel.gradient.size(); ++i) ASSERT_EQ(kernel.gradient[i], cpu.gradient[i]) << i;

  for (size_t image = 0; image < size_t(batch); ++image) {
    Terms sums;
    const int64_t t = images.t[image];
    double size = 0;  // of the summands of the mean, for the tolerance
    for (size_t i = 0; i < size_t(n); ++i) {
      const size_t at = image * size_t(images.per_output) + i;
      const double p = double(images.output[at]),
                   v = loss.learns_variance ? double(images.output[at + size_t(n)]) : 0;
      const Terms one = oracle_terms(loss, s, images, image, i, p, v);
      sums.mse += one.mse / double(n);
      sums.vb += one.vb / double(n);
      size += std::abs(weighted_sum(loss, s, t, one)) / double(n);
      // Central differences of the oracle.
      const double h = 1e-5;
      const auto change = [&](double dp, double dv, bool in_mse, bool in_vb) {
        Terms terms = oracle_terms(loss, s, images, image, i, p + dp, v + dv);
        if (!in_mse) terms.mse = 0;
        if (!in_vb) terms.vb = 0;
        return weighted_sum(loss, s, t, terms);
      };
      const bool by_bound = loss.bound == Bound::kOnly, has_bound = loss.bound != Bound::kNone;
      const double factor = double(scale[image]) / double(n);
      const double dp = (change(h, 0, true, by_bound) - change(-h, 0, true, by_bound)) / (2 * h) * factor;
      const size_t in = image * size_t(n) + i;
      const double rounding = by_bound ? rounding_of_means(loss, s, size_t(t), v, double(images.x_start[in]),
                                                           double(images.x_t[in]))
                                       : 0;
      ASSERT_NEAR(kernel.gradient[at], dp, 2e-3 * std::abs(dp) + (1e-4 + rounding) * std::abs(factor))
          << image << " " << i;
      if (!two_parts) continue;
      const double dv = has_bound && loss.learns_variance
                            ? (change(0, h, false, true) - change(0, -h, false, true)) / (2 * h) * factor
                            : 0;
      ASSERT_NEAR(kernel.gradient[at + size_t(n)], dv, 2e-3 * std::abs(dv) + 1e-4 * std::abs(factor))
          << image << " " << i;
    }
    const double expected = weighted_sum(loss, s, t, sums);
    ASSERT_NEAR(kernel.values[image], expected, 1e-4 * size + 1e-6) << image;
  }
}

TEST_P(Losses, AreThoseOfTheFormulas) {
  const Loss loss = GetParam();
  const Schedule schedule;
  for (const auto& [batch, n] : {std::pair<int64_t, int64_t>{0, 16}, {1, 1}, {6, 7}, {7, 1027}, {2, 4096}}) {
    check_losses(loss, schedule, batch, n, true);
    if (!loss.learns_variance) check_losses(loss, schedule, batch, n, false);
  }
}

TEST_P(Losses, ReadAndWriteBfloat16) {
  const Loss loss = GetParam();
  const Schedule schedule;
  Images images(6, 130, true, loss, schedule);
  std::vector<Bfloat16Bits> half(images.output.size()), half_gradient(half.size());
  for (size_t i = 0; i < half.size(); ++i) {
    half[i] = to_bfloat16(images.output[i]);
    images.output[i] = to_float(half[i]);
  }
  const LossSetting setting{
      loss.compared, loss.bound, loss.predicts_noise, loss.learns_variance,          float(kBoundScale),
      images.batch,  images.n,   images.per_output,   schedule.tables(loss.weighted)};
  const std::vector<float> scale(6, 0.25F);
  Results wide(images), narrow(images);
  const LossInputs<Bfloat16Bits> inputs{half.data(), images.x_start.data(), images.x_t.data(),
                                        images.noise.data(), images.t.data()};
  ASSERT_EQ(loss_cuda(inputs, setting, narrow.pointers(), nullptr), nullptr);
  ASSERT_EQ(loss_cuda(images.inputs(), setting, wide.pointers(), nullptr), nullptr);
  EXPECT_EQ(narrow.values, wide.values);
  ASSERT_EQ(loss_gradient_cuda(inputs, setting, scale.data(), half_gradient.data(), nullptr), nullptr);
  ASSERT_EQ(loss_gradient_cuda(images.inputs(), setting, scale.data(), wide.gradient.data(), nullptr),
            nullptr);
  for (size_t i = 0; i < half.size(); ++i)
    ASSERT_EQ(half_gradient[i].bits, to_bfloat16(wide.gradient[i]).bits) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Losses,
    ::testing::Values(Loss{Compared::kNoise, Bound::kFrozenMean, true, true, false},
                      Loss{Compared::kNoise, Bound::kFrozenMean, true, true, true},
                      Loss{Compared::kXStart, Bound::kFrozenMean, false, true, true},
                      Loss{Compared::kNoise, Bound::kOnly, true, true, false},
                      Loss{Compared::kXStart, Bound::kOnly, false, false, false},
                      Loss{Compared::kNoise, Bound::kNone, true, false, true},
                      Loss{Compared::kV, Bound::kNone, true, false, true},
                      Loss{Compared::kFlow, Bound::kNone, true, false, false},
                      Loss{Compared::kEitherOfNoise, Bound::kFrozenMean, true, true, false},
                      Loss{Compared::kEitherOfXStart, Bound::kFrozenMean, false, true, false}));

TEST(Losses, AnImageDoesNotDependOnItsBatch) {
  const Schedule schedule;
  const Loss loss{Compared::kNoise, Bound::kFrozenMean, true, true, true};
  const Images images(6, 2051, true, loss, schedule);
  LossSetting setting{loss.compared,     loss.bound,           true, true, 1, 6, 2051,
                      images.per_output, schedule.tables(true)};
  Results together(images), alone(images);
  ASSERT_EQ(loss_cuda(images.inputs(), setting, together.pointers(), nullptr), nullptr);
  setting.batch = 1;
  for (int64_t i = 0; i < 6; ++i) {
    const LossInputs<float> one{images.output.data() + i * images.per_output,
                                images.x_start.data() + i * images.n, images.x_t.data() + i * images.n,
                                images.noise.data() + i * images.n, images.t.data() + i};
    ASSERT_EQ(loss_cuda(one, setting, alone.pointers(), nullptr), nullptr);
    EXPECT_EQ(alone.values[0], together.values[size_t(i)]);
  }
}

}  // namespace
}  // namespace pixart::diffusion::kernels
