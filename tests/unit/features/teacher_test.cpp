#include "pixart/features/teacher.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "scratch_folder.h"
#include "tiny_clip.h"

namespace pixart::features {
namespace {

class Teachers : public testing::ScratchFolder {
 protected:
  Teachers() { testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR); }
};

TEST_F(Teachers, SeeThePatchesOfTheImageInTheirPlaces) {
  const Teacher teacher(folder_ / "clip", at::kCPU);
  EXPECT_EQ(teacher.sizes().channels, 32);
  EXPECT_EQ(teacher.sizes().side, 3);
  const at::Tensor image = at::rand({2, 3, 24, 24}) * 2 - 1;
  const at::Tensor features = teacher.features(image);
  ASSERT_EQ(features.sizes(), at::IntArrayRef({2, 32, 3, 3}));
  const auto clip = models::load_clip(folder_ / "clip", at::kCPU);
  const at::Tensor mean = at::tensor({0.48145466F, 0.4578275F, 0.40821073F}).view({3, 1, 1}),
                   deviation = at::tensor({0.26862954F, 0.26130258F, 0.27577711F}).view({3, 1, 1});
  std::vector<at::Tensor> hidden;
  clip.model->image_features(((image + 1) / 2 - mean) / deviation, &hidden);
  for (int64_t row = 0; row < 3; ++row)
    for (int64_t column = 0; column < 3; ++column)  // token 0 is that of the class
      EXPECT_TRUE(at::allclose(features.select(3, column).select(2, row),
                               hidden.back().select(1, 1 + 3 * row + column), 1e-5, 1e-6));
  EXPECT_FALSE(features.requires_grad());
}

TEST_F(Teachers, TakeImagesOfAnySize) {
  const Teacher teacher(folder_ / "clip", at::kCPU);
  const at::Tensor left = at::full({1, 3, 24, 24}, 0.5);
  left.narrow(3, 12, 12).fill_(-0.5);
  const at::Tensor wide = at::full({1, 3, 40, 96}, 0.5);
  wide.narrow(3, 48, 48).fill_(-0.5);
  const at::Tensor small = teacher.features(left), large = teacher.features(wide);
  EXPECT_EQ(large.sizes(), small.sizes());
  // Alike, apart from the edge in the middle.
  EXPECT_LT((large - small).abs().max().item<double>(), 0.2 * small.abs().max().item<double>());
  EXPECT_TRUE(at::allclose(teacher.features(at::full({1, 3, 50, 20}, 0.3)),
                           teacher.features(at::full({1, 3, 24, 24}, 0.3)), 1e-4, 1e-4));
}

TEST_F(Teachers, AFolderWithoutAModelIsNamed) {
  EXPECT_THAT(testing::refusal([&] { teacher_sizes(folder_); }), ::testing::HasSubstr(folder_.string()));
}

TEST(Projection, IsThatOfStagesWithATeacher) {
  nn::StateDict state;
  EXPECT_EQ(add_projection(run::StageConfig{}, 8, state), nullptr);
  EXPECT_TRUE(state.items().empty());
}

}  // namespace
}  // namespace pixart::features
