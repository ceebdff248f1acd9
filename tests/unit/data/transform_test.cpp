#include "pixart/data/transform.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

#include "pixart/base/error.h"

namespace pixart::data {
namespace {

TEST(Transform, TensorHasChannelsFirstInMinusOneToOne) {
  Image image(2, 3);
  image.at(0, 0)[0] = 255;
  image.at(1, 2)[2] = 51;
  const at::Tensor tensor = to_tensor(image);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({3, 2, 3}));
  EXPECT_TRUE(tensor.is_contiguous());
  EXPECT_FLOAT_EQ(tensor[0][0][0].item<float>(), 1);
  EXPECT_FLOAT_EQ(tensor[2][1][2].item<float>(), 51 / 127.5 - 1);
  EXPECT_FLOAT_EQ(tensor[1][0][0].item<float>(), -1);
}

TEST(Transform, EveryByteComesBack) {
  Image image(16, 16);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(i / 3);
  EXPECT_EQ(to_image(to_tensor(image)).rgb, image.rgb);
}

TEST(Transform, ValuesOutsideAreClampedAndNanIsBlack) {
  const float infinity = std::numeric_limits<float>::infinity();
  const at::Tensor tensor =
      at::tensor({-7.0f, 7.0f, std::numeric_limits<float>::quiet_NaN(), infinity, -infinity, 0.0f})
          .view({3, 1, 2});
  const Image image = to_image(tensor.to(at::kDouble));
  EXPECT_EQ(image.at(0, 0)[0], 0);
  EXPECT_EQ(image.at(0, 1)[0], 255);
  EXPECT_EQ(image.at(0, 0)[1], 0);
  EXPECT_EQ(image.at(0, 1)[1], 255);
  EXPECT_EQ(image.at(0, 0)[2], 0);
  EXPECT_EQ(image.at(0, 1)[2], 128);  // 127.5 rounds to even
  EXPECT_THROW(to_image(at::zeros({1, 3, 4, 4})), InternalError);
}

TEST(Transform, GridPlacesImagesRowByRow) {
  const Image grid = make_grid({Image(2, 2, 10), Image(2, 2, 20), Image(2, 2, 30)}, 2, 1, 2);
  EXPECT_EQ(grid.height, 11);
  EXPECT_EQ(grid.width, 11);
  EXPECT_EQ(grid.at(0, 0)[0], 255);
  EXPECT_EQ(grid.at(1, 1)[0], 10);
  EXPECT_EQ(grid.at(4, 4)[0], 10);
  EXPECT_EQ(grid.at(4, 5)[0], 255);
  EXPECT_EQ(grid.at(1, 6)[0], 20);
  EXPECT_EQ(grid.at(6, 1)[0], 30);
  EXPECT_EQ(grid.at(6, 6)[0], 255);
  EXPECT_EQ(make_grid({Image(2, 2)}, 5, 1).width, 4);
  EXPECT_THROW(make_grid({}, 2), InternalError);
}

// Pixels that are not white in rows from `top` on.
int inked(const Image& image, int top) {
  int count = 0;
  for (int y = top; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) count += image.at(y, x)[0] < 200;
  return count;
}

TEST(Transform, CaptionsStandBelowTheirImages) {
  const std::vector<Image> images = {Image(32, 32, 255), Image(32, 32, 255)};
  const Image plain = make_captioned_grid(images, {"", ""}, 2, 2);
  EXPECT_EQ(inked(plain, 0), 0);
  const Image captioned = make_captioned_grid(images, {"a red circle on a white background", "two"}, 2, 2);
  EXPECT_EQ(captioned.width, plain.width);
  EXPECT_GT(captioned.height, plain.height);
  EXPECT_GT(inked(captioned, 6 + 64), 100);
  EXPECT_EQ(inked(captioned, 0), inked(captioned, 6 + 64));
}

TEST(Transform, LongWordsForeignLettersAndManyLinesFit) {
  const std::vector<Image> one = {Image(16, 48, 255)};
  const Image few = make_captioned_grid(one, {"word"}, 1);
  const Image many = make_captioned_grid(
      one, {"a word that is Donaudampfschifffahrtsgesellschaft and many more to follow after that"}, 1);
  EXPECT_EQ(many.width, few.width);
  EXPECT_EQ(many.height, few.height + 3 * 12);  // four lines at most
  for (int y = 0; y < many.height; ++y) EXPECT_GT(many.at(y, many.width - 1)[0], 200);
  const Image foreign = make_captioned_grid(one, {"\xC3\xA9\xE4\xBA\xBA"}, 1),
              asked = make_captioned_grid(one, {"??"}, 1);
  EXPECT_EQ(foreign.rgb, asked.rgb);
  EXPECT_THROW(make_captioned_grid(one, {}, 1), InternalError);
}

}  // namespace
}  // namespace pixart::data
