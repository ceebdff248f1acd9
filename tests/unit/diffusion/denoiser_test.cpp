#include "pixart/diffusion/denoiser.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

// Conditional half answers 1, null half answers 0; variance channels 5 and 7.
at::Tensor two_halves(const at::Tensor& latent, const at::Tensor& timestep) {
  EXPECT_EQ(latent.size(0), timestep.size(0));
  const at::Tensor ones = at::ones_like(latent);
  return at::cat({at::cat({ones, 5 * ones}, 1), at::cat({0 * ones, 7 * ones}, 1)});
}

TEST(Guide, CoversTheFirstChannelsOnly) {
  const at::Tensor latent = at::zeros({2, 4, 3, 3});
  const at::Tensor output = guide(two_halves, 4.5, 3)(latent, at::zeros({2}));
  ASSERT_EQ(output.sizes(), at::IntArrayRef({2, 8, 3, 3}));
  EXPECT_TRUE(at::equal(output.narrow(1, 0, 3), at::full({2, 3, 3, 3}, 4.5)));
  EXPECT_TRUE(at::equal(output.narrow(1, 3, 1), at::ones({2, 1, 3, 3})));
  EXPECT_TRUE(at::equal(output.narrow(1, 4, 4), at::full({2, 4, 3, 3}, 5.0)));
}

TEST(Guide, MoreChannelsThanTheLatentHasIsOurBug) {
  EXPECT_THROW(guide(two_halves, 2, 5)(at::zeros({1, 4, 3, 3}), at::zeros({1})), InternalError);
  EXPECT_THROW(guide(two_halves, 2, 0), InternalError);
}

TEST(Evaluate, GivesEachSampleTheSameFloatTimestep) {
  const Denoiser denoiser = [](const at::Tensor& latent, const at::Tensor& timestep) {
    EXPECT_EQ(timestep.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(timestep, at::full({3}, 949.05f)));
    EXPECT_EQ(timestep.stride(0), 0) << "models see that it is one";
    return at::cat({latent, latent + 1}, 1);
  };
  const at::Tensor latent = at::rand({3, 4, 2, 2});
  EXPECT_EQ(evaluate(denoiser, latent, 949.05).size(1), 8);
  EXPECT_TRUE(at::equal(predict(denoiser, latent, 949.05), latent));
}

}  // namespace
}  // namespace pixart::diffusion
