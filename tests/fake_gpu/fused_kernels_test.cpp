// The kernels of src/nn, as host code, against double precision: forward, gradients, and the memory that they
// move.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cuda/traffic.h"
#include "fused_cuda.h"
#include "fused_oracle.h"
#include "kernel_memory.h"

namespace pixart::nn::kernels {
namespace {

using fused_oracle::Doubles, fused_oracle::Size;

constexpr double kEps = 1e-6;

struct Sums {
  Memory<float> sums, of_all;
  size_t width, kinds;
  Sums(Memory<float>& parts, const Size& size, size_t groups, size_t count, size_t sums_of,
       bool with_bias = false)
      : sums(groups * sums_of * size.width),
        of_all(with_bias ? size.width : 0),
        width(size.width),
        kinds(sums_of) {
    EXPECT_EQ(sum_parts_cuda(parts.data(), sums.data(), of_all.data(),
                             {int64_t(groups), int64_t(count), int64_t(sums_of * size.width),
                              int64_t(with_bias ? size.width : 0)},
                             nullptr),
              nullptr);
  }
  Doubles of(size_t kind) {
    Doubles result;
    for (size_t group = 0; group < sums.doubles().size() / width / kinds; ++group)
      for (const double value : sums.doubles((group * kinds + kind) * width, width)) result.push_back(value);
    return result;
  }
};

ImageRows rows_of(const Size& size) {
  return {int64_t(size.images), int64_t(size.tokens), int64_t(size.width)};
}
size_t parts_of(const Size& size) { return size_t(kernels::parts_of(rows_of(size))); }

class FusedKernels : public ::testing::TestWithParam<Size> {};

template <class T>
void check_gelu(const Size& images) {
  const Size size{1, images.rows(), images.width};
  auto x = normal<T>(size.count(), 1, 3), gradient = normal<T>(size.count(), 2);
  const auto count = size_t(gelu_parts_of(rows_of(size)));
  auto bias = normal<float>(size.width, 3), parts = Memory<float>(count * size.width);
  Memory<T> out(size.count()), to_x(size.count());
  ASSERT_EQ(bias_gelu_cuda(x.data(), bias.data(), out.data(), rows_of(size), nullptr), nullptr);
  ASSERT_EQ((bias_gelu_backward_cuda<T>(x.data(), bias.data(), gradient.data(), {to_x.data(), parts.data()},
                                        rows_of(size), nullptr)),
            nullptr);
  const auto expected = fused_oracle::bias_gelu(size, x.doubles(), bias.doubles(), gradient.doubles());
  expect_equal<T>("out", out.doubles(), expected.out);
  expect_equal<T>("to x", to_x.doubles(), expected.to_x);
  expect_equal<float>("to bias", Sums(parts, size, 1, count, 1).of(0), expected.to_bias);
}

TEST_P(FusedKernels, BiasAndGelu) {
  check_gelu<float>(GetParam());
  check_gelu<Bfloat16>(GetParam());
}

TEST(FusedKernelsAlone, GeluOfManyRowsHasLargerParts) {
  const Size many{1, 8200, 8};
  EXPECT_LT(gelu_parts_of(rows_of(many)), kernels::parts_of(rows_of(many)));
  check_gelu<Bfloat16>(many);
}

template <class T>
void check_join(const Size& size, size_t count, bool with_sums) {
  SCOPED_TRACE(std::to_string(sizeof(T)) + ", " + std::to_string(count) + " sources");
  const Size joined{1, size.rows(), count * size.width};
  std::vector<Memory<T>> sources;
  Memory<T> out(joined.count());
  const auto num_parts = size_t(join_parts_of(int64_t(size.rows())));
  Memory<float> parts(num_parts * joined.width);
  JoinedRows<T> work = {
      .sources = {}, .count = int(count), .out = out.data(), .parts = with_sums ? parts.data() : nullptr};
  for (size_t i = 0; i < count; ++i) {
    sources.push_back(normal<T>(size.count(), unsigned(10 + i)));
    work.sources[i] = sources.back().data();
  }
  ASSERT_EQ(join_rows_cuda(work, int64_t(size.rows()), int64_t(size.width), nullptr), nullptr);
  Doubles expected(joined.count()), sums(joined.width);
  for (size_t i = 0; i < expected.size(); ++i) {
    const size_t row = i / joined.width, column = i % joined.width, source = column / size.width;
    expected[i] = number(sources[source].data()[row * size.width + column % size.width]);
    sums[column] += expected[i];
  }
  EXPECT_EQ(out.doubles(), expected);
  if (with_sums) expect_equal<float>("sums", Sums(parts, joined, 1, num_parts, 1).of(0), sums);
}

TEST_P(FusedKernels, JoinedRows) {
  for (const size_t count : {1, 2, 3})
    for (const bool with_sums : {true, false}) {
      check_join<float>(GetParam(), count, with_sums);
      check_join<Bfloat16>(GetParam(), count, with_sums);
    }
}

// What an image is modulated by: rows of a [B, 6, D], or nothing.
struct Modulation {
  Memory<float> all;
  Size size;
  explicit Modulation(const Size& of) : all(normal<float>(of.images * 6 * of.width, 4)), size(of) {}
  PerImage row(size_t i) { return {all.data() + i * size.width, int64_t(6 * size.width)}; }
  Doubles doubles(size_t i) {
    Doubles result;
    for (size_t image = 0; image < size.images; ++image)
      for (const double value : all.doubles((image * 6 + i) * size.width, size.width))
        result.push_back(value);
    return result;
  }
};

// The bias of a branch, or none.
struct BranchBias {
  Memory<float> all;
  bool is_there;
  BranchBias(const Size& size, bool with) : all(normal<float>(size.width, 7)), is_there(with) {}
  const float* data() { return is_there ? all.data() : nullptr; }
  Doubles added_to(const Doubles& branch) {
    Doubles sum = branch;
    const Doubles bias = all.doubles();
    for (size_t i = 0; i < sum.size() && is_there; ++i) sum[i] += bias[i % bias.size()];
    return sum;
  }
  // From the gradient of the branch before it is rounded.
  Doubles gradient(const Doubles& to_branch) {
    Doubles sums(all.doubles().size());
    for (size_t i = 0; i < to_branch.size(); ++i) sums[i % sums.size()] += to_branch[i];
    return sums;
  }
};

template <class X, class V>
void check_residual(const Size& size, bool gated, bool with_rounded, bool with_bias) {
  SCOPED_TRACE(std::to_string(sizeof(X)) + std::to_string(sizeof(V)) + (gated ? " gated" : "") +
               (with_rounded ? " rounded" : "") + (with_bias ? " bias" : ""));
  BranchBias bias(size, with_bias);
  Modulation modulation(size);
  auto x = normal<X>(size.count(), 1), down = normal<X>(size.count(), 2);
  auto branch = normal<V>(size.count(), 3), more = normal<V>(size.count(), 5);
  Memory<X> sum(size.count()), to_x(size.count());
  Memory<V> rounded(size.count()), to_branch(size.count());
  Memory<float> parts(size.images * parts_of(size) * (size_t(gated) + size_t(with_bias)) * size.width);
  const PerImage gate = gated ? modulation.row(2) : PerImage();
  const Doubles gates = gated ? modulation.doubles(2) : Doubles();
  V* extra = with_rounded ? rounded.data() : nullptr;
  ASSERT_EQ((gated_residual_cuda<X, V>({x.data(), gate, branch.data(), sum.data(), extra, bias.data()},
                                       rows_of(size), nullptr)),
            nullptr);
  ASSERT_EQ((gated_residual_backward_cuda<X, V>(
                {down.data(), with_rounded ? more.data() : nullptr, gate, gated ? branch.data() : nullptr,
                 with_rounded ? to_x.data() : nullptr, to_branch.data(),
                 gated || with_bias ? parts.data() : nullptr, bias.data(), with_bias},
                rows_of(size), nullptr)),
            nullptr);
  const Doubles whole = bias.added_to(branch.doubles());
  const Doubles expected = fused_oracle::added(size, x.doubles(), gates, whole);
  expect_equal<X>("sum", sum.doubles(), expected);
  if (with_rounded) {  // without the sum
    Memory<V> alone(size.count());
    ASSERT_EQ((gated_residual_cuda<X, V>({x.data(), gate, branch.data(), nullptr, alone.data(), bias.data()},
                                         rows_of(size), nullptr)),
              nullptr);
    EXPECT_EQ(alone.doubles(), rounded.doubles());
  }
  Doubles total = down.doubles();
  if (with_rounded) {
    expect_equal<V>("rounded", rounded.doubles(), expected);
    total = fused_oracle::added(size, total, {}, more.doubles());
    expect_equal<X>("to x", to_x.doubles(), total);
  }
  const auto to = fused_oracle::branch_gradients(size, total, gates, whole);
  expect_equal<V>("to branch", to_branch.doubles(), to.branch);
  Sums sums(parts, size, size.images, parts_of(size), gated, with_bias);
  if (gated) expect_equal<float>("to gate", sums.of(0), to.gate);
  if (with_bias) expect_equal<float>("to bias", sums.of_all.doubles(), bias.gradient(to.branch));
}

TEST_P(FusedKernels, GatedResidual) {
  for (const bool gated : {true, false})
    for (const bool with_rounded : {true, false})
      for (const bool with_bias : {true, false}) {
        check_residual<float, Bfloat16>(GetParam(), gated, with_rounded, with_bias);
        check_residual<float, float>(GetParam(), gated, with_rounded, with_bias);
        check_residual<Bfloat16, Bfloat16>(GetParam(), gated, with_rounded, with_bias);
      }
}

enum class Branch { kNone, kPlain, kGated, kWithBias, kGatedWithBias };

template <class X>
Doubles as_kept(Doubles values) {
  for (double& value : values) {
    X kept;
    store(kept, float(value));
    value = number(kept);
  }
  return values;
}

template <class X, class V>
void check_norm(const Size& size, Branch kind, bool with_more, bool after_another) {
  SCOPED_TRACE(std::to_string(sizeof(X)) + std::to_string(sizeof(V)) + " branch " +
               std::to_string(int(kind)) + (with_more ? " and more" : "") +
               (after_another ? " after another" : ""));
  const bool has_branch = kind != Branch::kNone,
             gated = kind == Branch::kGated || kind == Branch::kGatedWithBias,
             with_bias = kind == Branch::kWithBias || kind == Branch::kGatedWithBias;
  BranchBias bias(size, with_bias);
  Modulation modulation(size);
  auto x = normal<X>(size.count(), 1, 2), more = normal<X>(size.count(), 2);
  auto branch = normal<V>(size.count(), 3), gradient = normal<V>(size.count(), 5),
       another = normal<V>(size.count(), 8), more_rounded = normal<V>(size.count(), 9);
  const PerImage gate_of_another = modulation.row(5);
  Memory<X> sum(size.count()), to_x(size.count());
  Memory<V> out(size.count()), to_branch(size.count());
  Memory<float> mean(size.rows()), rstd(size.rows());
  const size_t kinds = gated ? 3 : 2;
  Memory<float> parts(size.images * parts_of(size) * (kinds + with_bias) * size.width);
  const PerImage gate = gated ? modulation.row(2) : PerImage();
  const Doubles gates = gated ? modulation.doubles(2) : Doubles();
  ASSERT_EQ(
      (residual_norm_cuda<X, V>(
          {x.data(), gate, has_branch ? branch.data() : nullptr, modulation.row(0), modulation.row(1),
           has_branch ? sum.data() : nullptr, out.data(), mean.data(), rstd.data(), float(kEps), bias.data(),
           after_another ? EarlierBranch<V>{gate_of_another, another.data(), bias.data()}
                         : EarlierBranch<V>()},
          rows_of(size), nullptr)),
      nullptr);
  X* normalised = has_branch ? sum.data() : x.data();
  ASSERT_EQ((residual_norm_backward_cuda<X, V>(
                {gradient.data(), with_more ? more.data() : nullptr, normalised, mean.data(), rstd.data(),
                 modulation.row(1), gate, gated ? branch.data() : nullptr, to_x.data(),
                 has_branch ? to_branch.data() : nullptr, parts.data(), bias.data(), with_bias,
                 with_more ? more_rounded.data() : nullptr},
                rows_of(size), nullptr)),
            nullptr);
  const Doubles whole = bias.added_to(branch.doubles());
  Doubles from = x.doubles();
  if (after_another)
    from =
        as_kept<X>(fused_oracle::added(size, from, modulation.doubles(5), bias.added_to(another.doubles())));
  if (has_branch) expect_equal<X>("sum", sum.doubles(), fused_oracle::added(size, from, gates, whole));
  const Doubles seen = (has_branch ? sum : x).doubles();
  const auto norm =
      fused_oracle::modulated_norm(size, seen, modulation.doubles(0), modulation.doubles(1), kEps);
  expect_equal<V>("out", out.doubles(), norm.out);
  expect_equal<float>("mean", mean.doubles(), norm.mean);
  expect_equal<float>("rstd", rstd.doubles(), norm.rstd);
  const auto to = fused_oracle::norm_gradients(size, norm, modulation.doubles(1), gradient.doubles());
  Doubles total = to.x;
  if (with_more)
    total = fused_oracle::added(size, fused_oracle::added(size, to.x, {}, more.doubles()), {},
                                more_rounded.doubles());
  expect_equal<X>("to x", to_x.doubles(), total);
  Sums sums(parts, size, size.images, parts_of(size), kinds, with_bias);
  expect_equal<float>("to shift", sums.of(0), to.shift);
  expect_equal<float>("to scale", sums.of(1), to.scale);
  const auto to_its = fused_oracle::branch_gradients(size, total, gates, whole);
  if (with_bias) expect_equal<float>("to bias", sums.of_all.doubles(), bias.gradient(to_its.branch));
  if (has_branch) expect_equal<V>("to branch", to_branch.doubles(), to_its.branch);
  if (gated) expect_equal<float>("to gate", sums.of(2), to_its.gate);
}

TEST_P(FusedKernels, ResidualNorm) {
  for (const Branch kind :
       {Branch::kNone, Branch::kPlain, Branch::kGated, Branch::kWithBias, Branch::kGatedWithBias})
    for (const bool with_more : {true, false})
      for (const bool after_another : {true, false}) {
        if (after_another && (kind == Branch::kNone || !with_more)) continue;
        check_norm<float, Bfloat16>(GetParam(), kind, with_more, after_another);
        check_norm<float, float>(GetParam(), kind, with_more, after_another);
        check_norm<Bfloat16, Bfloat16>(GetParam(), kind, with_more, after_another);
      }
}

// One row, odd numbers of rows, an empty batch, more rows than one part has; widths that fill no warp, one, and
// several.
INSTANTIATE_TEST_SUITE_P(Sizes, FusedKernels,
                         ::testing::Values(Size{1, 1, 8}, Size{3, 5, 40}, Size{1, 3, 128}, Size{2, 3, 136},
                                           Size{2, 33, 256}, Size{1, 35, 264}, Size{1, 5, 1152},
                                           Size{1, 3, 2304}, Size{1, 3, 2312}, Size{1, 1, 4608},
                                           Size{0, 3, 64}, Size{2, 0, 64}));

// Numbers of a row depend on that row alone, and sums over rows on the image's alone.
TEST(FusedKernelsAlone, OtherImagesChangeNothing) {
  const Size both{2, 37, 136}, one{1, 37, 136};
  auto x = normal<float>(both.count(), 1);
  Modulation modulation(both);
  const auto out_of = [&](const Size& size, size_t first) {
    Memory<float> out(size.count());
    PerImage shift = modulation.row(0), scale = modulation.row(1);
    shift.data += int64_t(first) * shift.stride;
    scale.data += int64_t(first) * scale.stride;
    EXPECT_EQ((residual_norm_cuda<float, float>({x.data() + first * one.count(),
                                                 {},
                                                 nullptr,
                                                 shift,
                                                 scale,
                                                 nullptr,
                                                 out.data(),
                                                 nullptr,
                                                 nullptr,
                                                 float(kEps)},
                                                rows_of(size), nullptr)),
              nullptr);
    return out.doubles();
  };
  const Doubles together = out_of(both, 0), second = out_of(one, 1);
  EXPECT_TRUE(std::equal(second.begin(), second.end(), together.begin() + int64_t(one.count())));
}

TEST(FusedKernelsAlone, GeluOfLargeAndNotFiniteNumbers) {
  const float values[] = {50, 1e30F, -50, -1e30F, NAN, INFINITY, 0, 0};
  Memory<float> x(8), bias(8), out(8);
  for (size_t i = 0; i < 8; ++i) x.data()[i] = values[i], bias.data()[i] = 0;
  ASSERT_EQ(bias_gelu_cuda(x.data(), bias.data(), out.data(), {1, 1, 8}, nullptr), nullptr);
  EXPECT_EQ(out.data()[0], 50);
  EXPECT_EQ(out.data()[1], 1e30F);
  EXPECT_NEAR(out.data()[2], 0, 1e-20);
  EXPECT_TRUE(std::isfinite(out.data()[3]));
  EXPECT_TRUE(std::isnan(out.data()[4]));
  EXPECT_FALSE(std::isfinite(out.data()[5]));
}

TEST(FusedKernelsAlone, NanBecomesNanAndLargeNumbersInfinity) {
  const Size size{1, 1, 8};
  Memory<float> x(8);
  Memory<Bfloat16> branch(8), rounded(8);
  Memory<float> sum(8);
  const float values[] = {NAN, 3.4e38F, -INFINITY, 1.00390625F, 1.01171875F, 1, 2, 3};  // ties go to even
  for (size_t i = 0; i < 8; ++i) x.data()[i] = values[i], store(branch.data()[i], 0);
  ASSERT_EQ((gated_residual_cuda<float, Bfloat16>({x.data(), {}, branch.data(), sum.data(), rounded.data()},
                                                  rows_of(size), nullptr)),
            nullptr);
  EXPECT_TRUE(std::isnan(number(rounded.data()[0])));
  EXPECT_EQ(number(rounded.data()[1]), INFINITY);
  EXPECT_EQ(number(rounded.data()[2]), -INFINITY);
  EXPECT_EQ(number(rounded.data()[3]), 1);
  EXPECT_EQ(number(rounded.data()[4]), 1.015625);
}

class Traffic : public ::testing::TestWithParam<size_t> {};

// Bytes as counted from the shapes; `more`: what each block reads of its image, and the sums of its rows.
void expect_traffic(const char* what, double bytes_a_number, const Size& size, double more) {
  const auto& traffic = cuda_on_cpu::last_traffic();
  const double bytes = double(traffic.bytes_read + traffic.bytes_written);
  EXPECT_NEAR(bytes, bytes_a_number * double(size.count()) + more, 16.0 * 20 * double(size.rows())) << what;
  EXPECT_LE(double(traffic.sectors), 1.05 * double(traffic.ideal_sectors)) << what;
  EXPECT_LE(double(traffic.sectors), 1.05 * bytes / 32) << what << ": sectors that are read in part";
}

TEST_P(Traffic, IsThatOfOnePassInWholeSectors) {
  const Size size{1, 32, GetParam()};
  const ImageRows rows = rows_of(size);
  Modulation modulation(size);
  auto x = normal<float>(size.count(), 1), more = normal<float>(size.count(), 2);
  auto branch = normal<Bfloat16>(size.count(), 3), gradient = normal<Bfloat16>(size.count(), 5);
  Memory<float> sum(size.count()), to_x(size.count()), mean(size.rows()), rstd(size.rows()),
      parts(6 * size.width);
  Memory<Bfloat16> out(size.count()), to_branch(size.count());
  const PerImage shift = modulation.row(0), scale = modulation.row(1), gate = modulation.row(2);
  const double a_row = 4.0 * double(size.width), forward_parts = 16, parts_of_image = 1;
  ASSERT_EQ((residual_norm_cuda<float, Bfloat16>({x.data(), gate, branch.data(), shift, scale, sum.data(),
                                                  out.data(), mean.data(), rstd.data(), float(kEps)},
                                                 rows, nullptr)),
            nullptr);
  expect_traffic("norm", 12, size, 3 * a_row * forward_parts);
  ASSERT_EQ((residual_norm_backward_cuda<float, Bfloat16>(
                {gradient.data(), more.data(), sum.data(), mean.data(), rstd.data(), scale, gate,
                 branch.data(), to_x.data(), to_branch.data(), parts.data()},
                rows, nullptr)),
            nullptr);
  expect_traffic("norm backward", 18, size, 5 * a_row * parts_of_image);
  ASSERT_EQ((gated_residual_cuda<float, Bfloat16>({x.data(), gate, branch.data(), sum.data(), out.data()},
                                                  rows, nullptr)),
            nullptr);
  expect_traffic("residual", 12, size, a_row * forward_parts);
  ASSERT_EQ((gated_residual_backward_cuda<float, Bfloat16>({more.data(), gradient.data(), gate, branch.data(),
                                                            to_x.data(), to_branch.data(), parts.data()},
                                                           rows, nullptr)),
            nullptr);
  expect_traffic("residual backward", 14, size, 2 * a_row * parts_of_image);
  auto bias = normal<float>(size.width, 6);
  ASSERT_EQ((residual_norm_cuda<float, Bfloat16>({x.data(),
                                                  {},
                                                  branch.data(),
                                                  shift,
                                                  scale,
                                                  sum.data(),
                                                  out.data(),
                                                  mean.data(),
                                                  rstd.data(),
                                                  float(kEps),
                                                  bias.data(),
                                                  {gate, gradient.data(), bias.data()}},
                                                 rows, nullptr)),
            nullptr);
  expect_traffic("norm after another branch", 14, size, 5 * a_row * forward_parts);
  ASSERT_EQ((residual_norm_backward_cuda<float, Bfloat16>(
                {gradient.data(), more.data(), sum.data(), mean.data(), rstd.data(), scale, gate,
                 branch.data(), to_x.data(), to_branch.data(), parts.data(), nullptr, false, out.data()},
                rows, nullptr)),
            nullptr);
  expect_traffic("norm backward with a rounded gradient", 20, size, 5 * a_row * parts_of_image);
  ASSERT_EQ((gated_residual_cuda<float, Bfloat16>({x.data(), gate, branch.data(), nullptr, out.data()}, rows,
                                                  nullptr)),
            nullptr);
  expect_traffic("rounded sum", 8, size, a_row * forward_parts);
  ASSERT_EQ((gated_residual_backward_cuda<float, Bfloat16>(
                {more.data(), gradient.data(), gate, branch.data(), nullptr, to_branch.data(), parts.data()},
                rows, nullptr)),
            nullptr);
  expect_traffic("rounded sum backward", 10, size, 2 * a_row * parts_of_image);
  Memory<Bfloat16> joined(3 * size.count());
  ASSERT_EQ(
      join_rows_cuda<Bfloat16>({{branch.data(), gradient.data(), out.data()}, 3, joined.data(), parts.data()},
                               int64_t(size.rows()), int64_t(size.width), nullptr),
      nullptr);
  expect_traffic("join", 4, {1, size.rows(), 3 * size.width}, 3 * a_row);
  ASSERT_EQ(bias_gelu_cuda(branch.data(), bias.data(), out.data(), rows, nullptr), nullptr);
  expect_traffic("gelu", 4, size, a_row * forward_parts);
  ASSERT_EQ((bias_gelu_backward_cuda<Bfloat16>(branch.data(), bias.data(), gradient.data(),
                                               {out.data(), parts.data()}, rows, nullptr)),
            nullptr);
  expect_traffic("gelu backward", 6, size, 2 * a_row * parts_of_image);
}
INSTANTIATE_TEST_SUITE_P(Widths, Traffic, ::testing::Values(128, 1152));

}  // namespace
}  // namespace pixart::nn::kernels
