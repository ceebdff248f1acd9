#include "pixart/sample/generate.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/data/transform.h"
#include "plain_codec.h"

namespace pixart::sample {
namespace {

at::Tensor latents(int64_t count, int64_t height, int64_t width) {
  at::Tensor tensor = at::empty({count, 4, height, width});
  fill_normal({5, 1, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

TEST(TileSize, OnlyImagesOfMoreThan1536SquareAreTiledUnasked) {
  const auto vae = models::vae_preset("sdxl-vae");
  EXPECT_EQ(tile_size_of({}, vae, 1024, 1024), 0);
  EXPECT_EQ(tile_size_of({}, vae, 1536, 1536), 0);
  EXPECT_EQ(tile_size_of({}, vae, 2048, 1152), 0);  // as many pixels
  EXPECT_EQ(tile_size_of({}, vae, 1536, 1544), 1024);
  EXPECT_EQ(tile_size_of({}, vae, 2048, 2048), 1024);
  EXPECT_EQ(tile_size_of(0, vae, 4096, 4096), 0);
  EXPECT_EQ(tile_size_of(512, vae, 512, 520), 512);
  EXPECT_EQ(tile_size_of(512, vae, 520, 512), 512);
  EXPECT_EQ(tile_size_of(512, vae, 512, 512), 0) << "it fits into one";
}

TEST(TileSize, IsOfWholeLatentPixels) {
  const auto vae = models::vae_preset("sdxl-vae");
  for (const auto& [wanted, next] : {std::pair{100, 128}, std::pair{8, 32}, std::pair{520, 544}}) {
    try {
      tile_size_of(wanted, vae, 2048, 2048);
      ADD_FAILURE() << wanted;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(),
                  ::testing::HasSubstr(
                      fmt::format("tile size {}: this autoencoder decodes in tiles whose side is a multiple "
                                  "of 32 pixels; give {},",
                                  wanted, next)));
    }
  }
}

TEST(DecodeImages, SmallOnesAreTheSameWhateverTheTileSize) {
  const auto codec = testing::small_codec({});
  const at::Tensor three = latents(3, 12, 8);
  const auto whole = decode_images(codec, three, 0);
  ASSERT_EQ(whole.size(), 3u);
  EXPECT_EQ(whole[1].rgb, data::to_image(codec.decode(three)[1]).rgb);
  for (const std::optional<int64_t> size : {std::optional<int64_t>(), std::optional<int64_t>(24)}) {
    const auto images = decode_images(codec, three, size);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(images.at(i).rgb, whole[i].rgb) << i;
  }
}

TEST(DecodeImages, LargeOnesAreDecodedInTilesOneByOne) {
  const auto codec = testing::small_codec({});
  const at::Tensor two = latents(2, 12, 8);
  int calls = 0;
  const auto images = decode_images(codec, two, 16, [&calls] { ++calls; });
  EXPECT_EQ(calls, 2);
  for (int64_t i = 0; i < 2; ++i)
    EXPECT_EQ(images.at(size_t(i)).rgb,
              data::to_image(codec.decode(two.narrow(0, i, 1), {.tile = 8, .overlap = 0.25})[0]).rgb);
  EXPECT_NE(images[0].rgb, decode_images(codec, two, 0)[0].rgb);
}

}  // namespace
}  // namespace pixart::sample
