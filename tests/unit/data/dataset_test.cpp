#include "pixart/data/dataset.h"

#include <turbojpeg.h>

#include <cerrno>
#include <functional>
#include <new>

#include "folder.h"
#include "pixart/base/machine_fault.h"
#include "pixart/data/transform.h"

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

TEST_F(DatasetTest, DamagedImagesAreRejectedUnlessTheyAreToBeRead) {
  const std::string jpeg = gray_jpeg(60, 90);
  write("in/cut.jpg", jpeg.substr(0, jpeg.size() - 20));
  write("in/gap.jpg", jpeg.substr(0, jpeg.size() - 20) + "\xff\xd9");
  auto config = folder_of(folder_ / "in");
  const auto strict = open_dataset(config);
  EXPECT_THROW(strict->image(0), BadSample);
  EXPECT_THROW(strict->image(1), BadSample);
  config.damaged_images = formats::DamagedImages::kRead;
  const auto lenient = open_dataset(config);
  EXPECT_THROW(lenient->image(0), BadSample);
  EXPECT_EQ(lenient->image(1).height, 60);
  EXPECT_EQ(lenient->reduced_image(1, 30).image.height, 30);
  EXPECT_EQ(lenient->fingerprint(), strict->fingerprint());
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

// A sample whose content makes its decoder throw what `fail` throws.
class FailingDataset : public Dataset {
 public:
  explicit FailingDataset(std::function<void()> fail) : fail_(std::move(fail)) {}
  int64_t size() const override { return 1; }
  Row row(int64_t) const override { return {.key = "odd.jpg"}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override { return "failing"; }
  mutable int calls = 0;

 private:
  std::string read_bytes_of(int64_t) const override { return decode(0, 0), "bytes"; }
  formats::ReducedImage decode(int64_t, int) const override {
    ++calls;
    fail_();
    return formats::whole(Image(1, 1));
  }
  std::function<void()> fail_;
  std::vector<std::string> names_;
  std::vector<Rejection> rejected_;
};

Rejection rejection_of(const std::function<void()>& use) {
  try {
    use();
  } catch (const BadSample& bad) {
    return bad.rejection();
  }
  ADD_FAILURE() << "not rejected";
  return {};
}

TEST_F(DatasetTest, WhateverADecoderThrowsRejectsTheSampleWithItsKey) {
  const std::function<void()> faults[] = {
      [] { throw std::runtime_error("a surprise"); },
      [] { throw std::out_of_range("a surprise"); },
      [] { throw InternalError("a surprise"); },
      [] { throw UserError("a surprise"); },
      [] { throw formats::ImageError(formats::ImageFault::kDamaged, "a surprise"); },
  };
  for (const auto& fault : faults) {
    const FailingDataset dataset(fault);
    const std::function<void()> uses[] = {[&] { dataset.image(0); }, [&] { dataset.bytes(0); },
                                          [&] { dataset.on_sample(0, fault); }};
    for (const auto& use : uses) {
      const auto rejection = rejection_of(use);
      EXPECT_EQ(rejection.key, "odd.jpg");
      EXPECT_EQ(rejection.reason, Reason::kDamagedImage);
      EXPECT_THAT(rejection.detail, ::testing::HasSubstr("a surprise"));
    }
  }
}

TEST_F(DatasetTest, NoSampleIsBlamedForTheMachineOrForAStop) {
  const FailingDataset full([] { throw UserError("stopped", ExitCode::kRequeue); });
  EXPECT_THROW(full.image(0), UserError);
  EXPECT_EQ(full.calls, 1);
  const FailingDataset broken([] { throw MachineFault("odd.jpg", EIO); });
  EXPECT_THROW(broken.image(0), MachineFault);
  EXPECT_EQ(broken.calls, 5);
  const FailingDataset hungry([] { throw std::bad_alloc(); });
  try {
    hungry.image(0);
    ADD_FAILURE() << "not thrown";
  } catch (const MachineFault& fault) {
    EXPECT_EQ(fault.code(), ExitCode::kDevice);
  }
  int failures = 2;
  const FailingDataset recovering([&] {
    if (failures-- > 0) throw MachineFault("odd.jpg", ESTALE);
  });
  EXPECT_EQ(recovering.image(0).height, 1);
}

TEST_F(DatasetTest, AThinImageIsARejectedSample) {
  image("in/line.png", 0, 3, 1000);
  const auto dataset = open_dataset(folder_of(folder_ / "in"));
  const auto image = dataset->reduced_image(0, decode_side(1024));
  const auto rejection =
      rejection_of([&] { dataset->on_sample(0, [&] { cover_and_crop(image, 1024, 1024); }); });
  EXPECT_EQ(rejection.key, "line.png");
  EXPECT_EQ(to_string(rejection.reason), "picture_too_thin");
  EXPECT_THAT(rejection.detail, ::testing::HasSubstr("341333 x 1024"));
  EXPECT_NO_THROW(dataset->on_sample(0, [&] { cover_and_crop(image, 256, 256); }));
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
