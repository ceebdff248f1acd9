#include "pixart/features/stage_images.h"

#include <ATen/ATen.h>

#include "image_cut.h"
#include "pixart/features/image_shapes.h"
#include "pixart/formats/tensor_file.h"
#include "stage_data_fixture.h"

namespace pixart::features {
namespace {

class StageImagesTest : public StageDataTest {
 protected:
  StageImagesTest() {
    stage_.name = "text", stage_.objective = "text_conditional";
    stage_.resolution = 4;
    stage_.encode.latents = run::Encoding::kOnTheFly;
    vae_.block_out_channels = {4, 4};  // half the side
    config_.run = folder_ / "run";
    config_.features.path = folder_ / "features";
  }
  std::shared_ptr<const StageImages> images(uint64_t seed = 4) const {
    return std::make_shared<StageImages>(parts(), stage_, vae_, seed);
  }
  FeatureReader reader() const {
    std::vector<data::Ledger> ledgers;
    std::vector<std::shared_ptr<data::QuarantineFile>> files;
    for (const auto& part : parts()) {
      files.push_back(
          std::make_shared<data::QuarantineFile>(folder_ / "quarantine" / (part.source->name + ".jsonl")));
      ledgers.push_back(ledger_of(part, files.back().get()));
    }
    return {.parts = parts(),
            .seed = 4,
            .with_labels = true,
            .with_sizes = true,
            .damaged = std::make_shared<DamagedFeatures>(parts(), ledgers, files),
            .images = images()};
  }
  run::RunConfig config_;
  run::StageConfig stage_;
  models::VaeConfig vae_;
};

TEST_F(StageImagesTest, ImagesOfTwoPartsStandSideBySide) {
  const auto batch = reader()(plan_of({0, 1, 2}, {11, 0, 15}));
  ASSERT_EQ(batch.image.sizes(), (std::vector<int64_t>{3, 3, 4, 4}));
  EXPECT_EQ(batch.latent_shape, (std::vector<int64_t>{4, 2, 2}));
  EXPECT_FALSE(batch.mean.defined() || batch.caption.defined() || batch.tokens.defined());
  const std::vector<int64_t> rows = {1, 0, 5};
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t row = rows[size_t(i)];
    EXPECT_TRUE(batch.image[i].eq(row).all().item<bool>()) << i;  // its gray
    EXPECT_EQ(batch.label[i].item<int64_t>(), row % 3);
    EXPECT_EQ(batch.image_size[i][0].item<float>(), float(4 + row % 3));
    EXPECT_EQ(batch.image_size[i][1].item<float>(), 5);
    EXPECT_EQ(batch.aspect_ratio[i][0].item<float>(), 1);
  }
}

TEST_F(StageImagesTest, ABadImageIsReplacedTheSameAtEachReading) {
  first_.damaged = {4};
  first_.odd = {6};
  const auto plan = counting(80, 8);
  const auto reading = reader();
  const auto batch = reading(plan);
  EXPECT_THAT(keys_in_quarantine("first"), ::testing::UnorderedElementsAre("4.png", "6.png"));
  std::set<int64_t> stand_ins;
  for (int64_t i = 0; i < 80; ++i) {
    const int64_t planned = plan.rows[size_t(i)], taken = batch.plan.rows[size_t(i)];
    if (planned != 4 && planned != 6) {
      EXPECT_EQ(taken, planned);
      continue;
    }
    stand_ins.insert(taken);
    EXPECT_TRUE(taken != 4 && taken != 6 && taken < 10) << taken;
    EXPECT_TRUE(batch.image[i].eq(taken).all().item<bool>());
    // Alone, by another process that knows of no bad image yet, it is the same.
    EXPECT_EQ(reader()(plan_of({i}, {planned})).plan.rows[0], taken);
  }
  EXPECT_GT(stand_ins.size(), 2);
  EXPECT_EQ(reading.damaged->size(), 2);
}

TEST_F(StageImagesTest, MoreBadImagesThanTheBudgetEndTheRun) {
  sources_[0].quarantine_budget = 0.1;
  first_.damaged = {1, 5};
  const auto reading = reader();
  EXPECT_NO_THROW(reading(counting(5, 5)));
  try {
    reading(counting(10, 10));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("row 5 (5.png)"), HasSubstr("quarantine_budget = 0.1 of 10")));
  }
}

TEST_F(StageImagesTest, SamplesAreMirroredWhereStoredOnesAre) {
  stage_.horizontal_flip = true;
  stage_.resolution = 5;
  // A row of the data set has one gray, so a stripe is looked for in the mirrored planes of another image.
  class Stripe : public data::Dataset {
   public:
    int64_t size() const override { return 1; }
    data::Row row(int64_t) const override { return {.key = "stripe"}; }
    const std::vector<std::string>& class_names() const override { return names_; }
    const std::vector<data::Rejection>& rejected() const override { return rejected_; }
    std::string fingerprint() const override { return "stripe"; }

   private:
    std::string read_bytes_of(int64_t) const override { return {}; }
    formats::ReducedImage decode(int64_t, int) const override {
      Image image(5, 5);
      for (int y = 0; y < 5; ++y) image.at(y, 0)[1] = 200;
      return formats::whole(image);
    }
    std::vector<std::string> names_;
    std::vector<data::Rejection> rejected_;
  } stripe;
  const StageImages images({{.source = &sources_[0], .dataset = &stripe}}, stage_, vae_, 4);
  int mirrored = 0;
  for (int64_t position = 0; position < 40; ++position) {
    std::vector<uint8_t> planes(75);
    images.read(0, 0, position, 0, planes.data());
    const bool is_mirrored = uniform({4, uint64_t(position), Purpose::kFlip}) < 0.5;
    for (size_t i = 0; i < 75; ++i)
      EXPECT_EQ(planes[i], i / 25 == 1 && i % 5 == (is_mirrored ? 4 : 0) ? 200 : 0) << position << " " << i;
    mirrored += is_mirrored ? 1 : 0;
  }
  EXPECT_GT(mirrored, 5);
  EXPECT_LT(mirrored, 35);
}

class ImageShapesTest : public StageImagesTest {
 protected:
  ImageShapesTest() { stage_.resolution = 256, stage_.aspect_buckets = stage_.multi_scale = true; }
  ImageShapes shapes() const { return image_shapes(config_, stage_, sources_[0], first_); }
  fs::path file() const { return folder_ / "features/first-sizes.safetensors"; }
};

TEST_F(ImageShapesTest, BucketsAreThoseOfTheImages) {
  first_.thin = {6};  // 1000 x 3 pixels
  first_.damaged = {4};
  first_.reject(8, data::Reason::kEmptyFile);
  const auto found = shapes();
  const ImageCutter cutter(stage_);
  for (const int64_t row : {0, 1, 2, 3, 5, 6, 7, 9}) {
    const Image image = first_.image(row);
    EXPECT_EQ(found.buckets[size_t(row)], cutter.shapes.bucket_of(image.height, image.width));
  }
  EXPECT_NE(found.buckets[0], found.buckets[1]);
  std::vector<int64_t> rejected;  // in rising order
  for (const auto& rejection : found.rejected) rejected.push_back(rejection.row);
  EXPECT_THAT(rejected, ::testing::ElementsAre(4, 8));
  auto part = parts()[0];
  part.shapes = std::make_shared<ImageShapes>(found);
  data::QuarantineFile quarantine(folder_ / "quarantine/first.jsonl");
  EXPECT_EQ(ledger_of(part, &quarantine).rejected.size(), 2);
  EXPECT_EQ(bucket_of(part, 6), found.buckets[6]);
}

// 4, 5 or 6 rows of 5 pixels.
TEST_F(ImageShapesTest, EachImageHasOneOfSeveralResolutions) {
  stage_.resolution = 4, stage_.aspect_buckets = false;
  stage_.resolutions = {{.side = 4}, {.side = 5}};
  const auto found = shapes();
  for (int64_t row = 0; row < 10; ++row) EXPECT_EQ(found.buckets[size_t(row)], row % 3 == 0 ? 0 : 1);
  const StageImages images(parts(), stage_, vae_, 4);
  EXPECT_EQ(images.latent_shape(0), (std::vector<int64_t>{4, 2, 2}));
  std::vector<uint8_t> planes(75);
  for (const uint8_t bucket : {0, 1}) {
    EXPECT_EQ(images.size(bucket).height, 4 + bucket);
    EXPECT_EQ(images.read(0, bucket, 0, bucket, planes.data()).width, 5);
  }
  stage_.resolution_rule = data::ResolutionRule::kShare;
  const auto shared = shapes();
  EXPECT_NE(shared.buckets, found.buckets);
  for (const int64_t row : {0, 3, 6, 9}) EXPECT_EQ(shared.buckets[size_t(row)], 0);
}

TEST_F(ImageShapesTest, SizesAreReadOnce) {
  const auto found = shapes();
  const at::Tensor sizes = formats::load_safetensors(file()).tensors.at("sizes");
  ASSERT_EQ(sizes.sizes(), (std::vector<int64_t>{10, 2}));
  first_.damaged = {1};  // would be noticed
  EXPECT_EQ(shapes().buckets, found.buckets);
  EXPECT_TRUE(shapes().rejected.empty());
  std::ofstream(file()) << "damaged";
  EXPECT_EQ(shapes().rejected.size(), 1);
}

TEST_F(ImageShapesTest, AnImageOfAnotherShapeIsNotPutIntoABatch) {
  const StageImages images(parts(), stage_, vae_, 4);
  const auto bucket = shapes().buckets[0];
  const auto size = images.size(bucket);
  std::vector<uint8_t> planes(size_t(3 * size.height * size.width));
  EXPECT_EQ(images.read(0, 0, 0, bucket, planes.data()).height, 4);
  EXPECT_THROW(images.read(0, 1, 0, bucket, planes.data()), UserError);
}

}  // namespace
}  // namespace pixart::features
