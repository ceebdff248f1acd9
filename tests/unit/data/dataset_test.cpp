#include "pixart/data/dataset.h"

#include <turbojpeg.h>

#include "folder.h"

namespace pixart::data {
namespace {

using DatasetTest = Folder;

std::string gray_jpeg(int height, int width) {
  const tjhandle encoder = tjInitCompress();
  const Image image(height, width, 90);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  EXPECT_EQ(
      tjCompress2(encoder, image.rgb.data(), width, 0, height, TJPF_RGB, &data, &size, TJSAMP_420, 90, 0), 0);
  std::string bytes(reinterpret_cast<char*>(data), size);
  tjFree(data);
  tjDestroy(encoder);
  return bytes;
}

SourceConfig folder_of(const std::filesystem::path& path) {
  SourceConfig config;
  config.name = "photos";
  config.type = "image_folder";
  config.path = path;
  config.missing_caption = MissingCaption::kEmpty;
  config.missing_caption_share = 1;
  return config;
}

TEST_F(DatasetTest, ImagesMayBeReducedAndTellTheirSize) {
  const std::string jpeg = gray_jpeg(60, 90);
  write("in/a.jpg", jpeg);
  write("in/b.jpg", jpeg.substr(0, jpeg.size() - 20));
  image("in/c.png", 90, 60, 90);
  const auto dataset = open_dataset(folder_of(folder_ / "in"));
  const auto half = dataset->reduced_image(0, 30), png = dataset->reduced_image(2, 30);
  EXPECT_EQ(std::pair(half.image.height, half.image.width), std::pair(30, 45));
  EXPECT_EQ(std::pair(half.full_height, half.full_width), std::pair(60, 90));
  EXPECT_EQ(std::pair(png.image.height, png.image.width), std::pair(60, 90));
  EXPECT_EQ(dataset->image(0).height, 60);
  try {
    dataset->reduced_image(1, 30);
    ADD_FAILURE() << "not refused";
  } catch (const BadSample& bad) {
    EXPECT_EQ(bad.rejection().reason, Reason::kDamagedImage);
    EXPECT_EQ(bad.rejection().key, "b.jpg");
  }
}

TEST_F(DatasetTest, DrawnImagesComeWhole) {
  SourceConfig config;
  config.name = "drawn";
  config.type = "scenes";
  config.count = 2;
  const auto dataset = open_dataset(config);
  const auto scene = dataset->reduced_image(1, 1);
  EXPECT_EQ(scene.image.rgb, dataset->image(1).rgb);
  EXPECT_EQ(scene.full_height, scene.image.height);
  EXPECT_EQ(scene.reduction, 1);
}

}  // namespace
}  // namespace pixart::data
