// CAME's kernels against plain loops in double, whose parts are those of src/optim/kernels/came_cpu.cpp.
#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <vector>

#include "came.h"

namespace pixart::optim::kernels {
namespace {

constexpr int kSteps = 3;
constexpr double kMostDifference = 1e-6;  // relative to the largest number of a parameter

std::vector<float> came_numbers(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

CameElement came_numbers_of_step(int step) {
  const float lr = 1e-2F / float(step + 1);
  return {.gradient_scale = 0.25F,
          .keep = 1 - lr * 0.1F,
          .lr = lr,
          .beta1 = 0.8F,
          .rest1 = 0.2F,
          .beta2 = 0.95F,
          .rest2 = 0.05F,
          .beta3 = 0.99F,
          .rest3 = 0.01F,
          .eps = 1e-12F,
          .residual_eps = 1e-8F,
          .clip_threshold = 0.7F,
          .ema_decay = 0.9F,
          .ema_rest = 0.1F};
}

// Everything that an update reads and writes, in memory of its exact size.
struct CameMemory {
  CameLayout layout;
  CameElement element = {};
  std::vector<float> values, gradients, exp_avg, ema, moments, roots, sums, limits;
  std::vector<Bfloat16Bits> rounded;
  std::vector<double> squares;

  explicit CameMemory(const std::vector<CameShape>& shapes) : layout(came_layout(shapes)) {
    size_t size = 0;
    for (const CameParameter& p : layout.parameters) size = std::max(size, size_t(p.offset + p.count));
    values = came_numbers(size, 1);
    ema = came_numbers(size, 2);
    exp_avg.assign(size, 0);
    rounded.resize(size);
    moments.assign(size_t(layout.moments), 0);
    const float unset = std::nanf("");  // scratch
    roots.assign(size_t(layout.roots), unset);
    sums.assign(size_t(layout.sums), unset);
    limits.assign(layout.parameters.size(), unset);
    squares.assign(layout.tiles.size(), double(unset));
  }

  CameBuffers buffers(int step, bool with_copies) {
    element = came_numbers_of_step(step);
    gradients = came_numbers(values.size(), unsigned(10 + step));
    for (size_t i = 0; i < gradients.size(); ++i) gradients[i] *= float(1 + i % 7);
    return {.element = &element,
            .norm = {},
            .parameters = layout.parameters.data(),
            .tiles = layout.tiles.data(),
            .stacks = layout.stacks.data(),
            .values = values.data(),
            .gradients = gradients.data(),
            .exp_avg = exp_avg.data(),
            .ema = with_copies ? ema.data() : nullptr,
            .rounded = with_copies ? rounded.data() : nullptr,
            .moments = moments.data(),
            .roots = roots.data(),
            .sums = sums.data(),
            .squares = squares.data(),
            .limits = limits.data()};
  }
};

void expect_near(const std::vector<float>& found, const std::vector<float>& expected, size_t begin,
                 size_t count, const char* what) {
  double largest = 0;
  for (size_t i = begin; i < begin + count; ++i) largest = std::max(largest, double(std::abs(expected[i])));
  for (size_t i = begin; i < begin + count; ++i)
    ASSERT_NEAR(found[i], expected[i], kMostDifference * largest) << what << " " << i;
}

CameShape matrices(int64_t count, int64_t rows, int64_t columns, bool decays = true) {
  return {0, count, rows, columns, true, decays};
}
CameShape vector_of(int64_t count, bool decays = true) { return {0, 1, 1, count, false, decays}; }

class CameKernels : public ::testing::TestWithParam<std::vector<CameShape>> {
 protected:
  static std::vector<CameShape> placed() {
    auto shapes = GetParam();
    int64_t offset = 3;  // parameters need not begin at multiples of anything
    for (CameShape& shape : shapes) {
      shape.offset = offset;
      offset += shape.matrices * shape.rows * shape.columns;
    }
    return shapes;
  }
};

TEST_P(CameKernels, EqualPlainLoops) {
  for (const bool with_copies : {false, true}) {
    CameMemory memory(placed()), expected(placed());
    for (int step = 0; step < kSteps; ++step) {
      ASSERT_EQ(came_cuda(memory.buffers(step, with_copies), memory.layout, nullptr), nullptr);
      came_cpu(expected.buffers(step, with_copies), int64_t(expected.layout.parameters.size()));
      for (const CameParameter& p : memory.layout.parameters) {
        const auto begin = size_t(p.offset), count = size_t(p.count);
        expect_near(memory.exp_avg, expected.exp_avg, begin, count, "mean update");
        expect_near(memory.values, expected.values, begin, count, "value");
        expect_near(memory.ema, expected.ema, begin, count, "EMA");
        const int64_t numbers = p.is_factored != 0 ? 2 * p.matrices * (p.rows + p.columns) : p.count;
        expect_near(memory.moments, expected.moments, size_t(p.moments), size_t(numbers), "moment");
      }
      for (size_t i = 3; with_copies && i < memory.values.size(); ++i)
        ASSERT_EQ(memory.rounded[i].bits, to_bfloat16(memory.values[i]).bits) << i;
    }
  }
}

TEST_P(CameKernels, RepeatTheirBits) {
  CameMemory first(placed()), second(placed());
  for (int step = 0; step < kSteps; ++step)
    for (CameMemory* memory : {&first, &second})
      ASSERT_EQ(came_cuda(memory->buffers(step, true), memory->layout, nullptr), nullptr);
  EXPECT_EQ(first.values, second.values);
  EXPECT_EQ(first.exp_avg, second.exp_avg);
  EXPECT_EQ(first.moments, second.moments);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CameKernels,
    ::testing::Values(
        std::vector<CameShape>{}, std::vector<CameShape>{vector_of(1)},
        std::vector<CameShape>{vector_of(127), vector_of(129, false), vector_of(17001)},
        std::vector<CameShape>{matrices(1, 1, 5), matrices(1, 5, 1), matrices(1, 1, 1)},
        std::vector<CameShape>{matrices(1, 128, 128), matrices(1, 129, 127, false)},
        std::vector<CameShape>{matrices(1, 300, 40), vector_of(3), matrices(1, 7, 515)},
        // Convolutions: a stack of small matrices, and one of matrices that fill tiles of their own.
        std::vector<CameShape>{matrices(600, 3, 3), matrices(257, 2, 2, false), matrices(3, 9, 8),
                               matrices(2, 8, 8), matrices(2, 130, 20)},
        std::vector<CameShape>(20, matrices(1, 6, 4))));

TEST(CameKernelsOnNothing, GradientsOfZeroMoveNothing) {
  CameMemory memory({{0, 1, 20, 30, true, false}, {600, 1, 1, 40, false, false}});
  const auto before = memory.values;
  const CameBuffers buffers = memory.buffers(0, false);
  std::fill(memory.gradients.begin(), memory.gradients.end(), 0.0F);
  ASSERT_EQ(came_cuda(buffers, memory.layout, nullptr), nullptr);
  EXPECT_EQ(memory.values, before);
}

TEST(CameKernelsOnNothing, TheClipFactorOfANormIsTheHosts) {
  CameMemory by_device({{0, 1, 20, 30, true, false}, {600, 1, 1, 40, false, true}}), by_host = by_device;
  const double squared = 9, most = 1;
  CameBuffers buffers = by_device.buffers(0, false);
  buffers.norm = {&squared, most};
  ASSERT_EQ(came_cuda(buffers, by_device.layout, nullptr), nullptr);
  buffers = by_host.buffers(0, false);
  by_host.element.gradient_scale = float(clip_factor_of(std::sqrt(squared), most));
  ASSERT_EQ(came_cuda(buffers, by_host.layout, nullptr), nullptr);
  EXPECT_EQ(by_device.values, by_host.values);
}

TEST(CameKernelsOnNothing, AGradientThatIsNotANumberShows) {
  CameMemory memory({{0, 1, 20, 30, true, true}});
  const CameBuffers buffers = memory.buffers(0, false);
  memory.gradients[77] = std::nanf("");
  ASSERT_EQ(came_cuda(buffers, memory.layout, nullptr), nullptr);
  EXPECT_TRUE(std::isnan(memory.limits[0]));
  EXPECT_TRUE(std::isnan(memory.values[0]));
}

}  // namespace
}  // namespace pixart::optim::kernels
