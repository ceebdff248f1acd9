// Files of statistics.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inception.h"
#include "moments.h"
#include "pixart/formats/npy.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refused_statistics(const std::filesystem::path& file) {
  return testing::refusal([&] { read_statistics(file); });
}

using StoredStatistics = testing::ScratchFolder;

TEST_F(StoredStatistics, ReadsWhatItWrote) {
  const auto file = folder_ / "real.npz";
  const Statistics pool{.mean = at::arange(kFeatures, at::kDouble),
                        .covariance = at::eye(kFeatures, at::kDouble) * 2,
                        .count = 77};
  save_statistics(file, {.features = pool, .protocol = "{\"resize\": \"clean\"}"});
  const auto read = read_statistics(file);
  ASSERT_TRUE(read.features);
  EXPECT_TRUE(at::equal(read.features->mean, pool.mean));
  EXPECT_TRUE(at::equal(read.features->covariance, pool.covariance));
  EXPECT_EQ(read.features->count, 77);
  EXPECT_EQ(read.protocol, "{\"resize\": \"clean\"}");
  EXPECT_FALSE(read.spatial);
  EXPECT_FALSE(is_file_of_others(file));
  EXPECT_FALSE(is_file_of_others(folder_ / "none.npz"));
}

// Names and types as np.savez of pytorch-fid's and ADM's scripts gives them.
TEST_F(StoredStatistics, HasTheNamesThatOthersRead) {
  const auto file = folder_ / "real.npz";
  const auto of = [](int64_t size) {
    return Statistics{
        .mean = at::ones({size}, at::kDouble), .covariance = at::eye(size, at::kDouble), .count = 5};
  };
  save_statistics(file, {.features = of(kFeatures), .spatial = of(kSpatialFeatures)});
  const auto arrays = formats::load_npz(file);
  for (const char* name : {"mu", "sigma", "mu_s", "sigma_s"})
    EXPECT_EQ(arrays.at(name).scalar_type(), at::kDouble) << name;
  EXPECT_EQ(arrays.at("num_images").item<int64_t>(), 5);
}

TEST_F(StoredStatistics, ReadsImagesAndFeaturesOfOthers) {
  const auto file = folder_ / "other.npz";
  formats::save_npz(file,
                    {{"arr_0", at::ones({2, 4, 5, 3}, at::kByte)}, {"feats", at::ones({3, kFeatures})}});
  const auto read = read_statistics(file);
  EXPECT_EQ(read.images.sizes(), at::IntArrayRef({2, 4, 5, 3}));
  EXPECT_EQ(read.rows.sizes(), at::IntArrayRef({3, kFeatures}));
  EXPECT_TRUE(is_file_of_others(file));
}

TEST_F(StoredStatistics, NamesAllThatIsWrong) {
  const auto file = folder_ / "bad.npz";
  formats::save_npz(file, {{"mu", at::zeros({64}, at::kDouble)},
                           {"sigma", at::full({kFeatures, kFeatures}, NAN, at::kDouble)},
                           {"mu_s", at::zeros({kSpatialFeatures}, at::kDouble)},
                           {"arr_0", at::zeros({2, 3, 8, 8}, at::kByte)}});
  EXPECT_THAT(refused_statistics(file),
              AllOf(HasSubstr("mu is [64]"), HasSubstr("sigma has values that are not finite"),
                    HasSubstr("only one of mu_s and sigma_s"), HasSubstr("arr_0 is [2, 3, 8, 8]")));
  formats::save_npz(file, {{"feats", at::full({2, kFeatures}, NAN)}});
  EXPECT_THAT(refused_statistics(file), HasSubstr("feats has values that are not finite"));
  formats::save_npz(file, {{"x", at::zeros({2})}});
  EXPECT_THAT(refused_statistics(file), HasSubstr("neither statistics"));
}

// A distance to them would be a number that means nothing.
TEST_F(StoredStatistics, RefusesWhatIsNoCovariance) {
  const auto file = folder_ / "real.npz";
  const auto store = [&](const at::Tensor& sigma) {
    formats::save_npz(file, {{"mu", at::zeros({kFeatures}, at::kDouble)}, {"sigma", sigma}});
  };
  const at::Tensor good = at::eye(kFeatures, at::kDouble);
  store(-good);
  EXPECT_THAT(refused_statistics(file), HasSubstr("sigma is not a covariance: it has the variance -1"));
  at::Tensor other = good.clone();
  other[3][7] = 0.5;
  store(other);
  EXPECT_THAT(refused_statistics(file), HasSubstr("sigma is not a covariance: it is not symmetric"));
  other[7][3] = 0.5;
  store(other);
  EXPECT_TRUE(read_statistics(file).features);
  other[3][7] = other[7][3] = 2;
  store(other);
  EXPECT_THAT(refused_statistics(file), HasSubstr("has the value 2, more than its largest variance, 1"));
  other = good.clone();  // what single precision rounds
  other[3][7] = 0.25 + 1e-6;
  other[7][3] = 0.25;
  other[9][9] = -1e-7;
  store(other);
  EXPECT_TRUE(read_statistics(file).features);
  store(at::zeros({kFeatures, kFeatures}, at::kDouble));  // of equal images
  EXPECT_TRUE(read_statistics(file).features);
}

}  // namespace
}  // namespace pixart::score
