#include "pixart/train/stage_data.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "damaged_features.h"
#include "feature_damage.h"
#include "pixart/base/env.h"
#include "pixart/base/random.h"
#include "pixart/data/aspect_bucket.h"
#include "plain_data.h"

namespace pixart::train {
namespace {
namespace fs = std::filesystem;

using pixart::testing::kPlainChannels;
using pixart::testing::plain_caption_work;
using pixart::testing::plain_features;
using pixart::testing::plain_latent_work;
using pixart::testing::plain_moments;
using pixart::testing::PlainDataset;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kChannels = 3, kTokens = 16;

class StageDataTest : public ::testing::Test {
 protected:
  StageDataTest()
      : folder_(fs::path(::testing::TempDir()) / fmt::format("pixart_stage_data_{}", process_id())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (size_t i = 0; i < 2; ++i) {
      sources_[i].name = i == 0 ? "first" : "second";
      sources_[i].quarantine_budget = 1;
    }
  }
  ~StageDataTest() override { fs::remove_all(folder_); }

  StageParts parts() const {
    StageParts result = {{.source = &sources_[0], .dataset = &first_, .first_row = 0},
                         {.source = &sources_[1], .dataset = &second_, .first_row = first_.size()}};
    return result;
  }
  // The parts with feature sets; a caption is stored with as many tokens as it has bytes and one more.
  StageParts featured(const pixart::testing::PlainLatents& options = {}) const {
    auto result = parts();
    for (auto& part : result) {
      const fs::path latents = folder_ / (part.source->name + "-latents"),
                     captions = folder_ / (part.source->name + "-captions");
      make_feature_set(plain_latent_work(latents, *part.dataset, options));
      make_feature_set(plain_caption_work(captions, *part.dataset, "float32", kChannels));
      part.latents = std::make_shared<data::LatentSet>(latents);
      part.captions = std::make_shared<data::CaptionSet>(captions);
    }
    return result;
  }
  static data::MicroBatch plan_of(std::vector<int64_t> positions, std::vector<int64_t> rows) {
    return {.positions = std::move(positions), .rows = std::move(rows)};
  }
  static data::MicroBatch counting(int64_t count, int64_t rows) {
    data::MicroBatch plan;
    for (int64_t i = 0; i < count; ++i) plan.positions.push_back(i), plan.rows.push_back(i % rows);
    return plan;
  }
  std::vector<std::string> keys_in_quarantine(const std::string& name) const {
    std::ifstream stream(folder_ / "quarantine" / (name + ".jsonl"));
    EXPECT_TRUE(stream) << name;
    std::vector<std::string> keys;
    for (std::string line; std::getline(stream, line);)
      keys.push_back(nlohmann::json::parse(line).at("key").get<std::string>());
    return keys;
  }

  fs::path folder_;
  data::SourceConfig sources_[2];
  PlainDataset first_{10}, second_{6};
};

TEST_F(StageDataTest, PartOfARow) {
  const auto all = parts();
  EXPECT_EQ(part_of(all, 0), (std::pair<size_t, int64_t>{0, 0}));
  EXPECT_EQ(part_of(all, 9), (std::pair<size_t, int64_t>{0, 9}));
  EXPECT_EQ(part_of(all, 10), (std::pair<size_t, int64_t>{1, 0}));
  EXPECT_EQ(part_of(all, 15), (std::pair<size_t, int64_t>{1, 5}));
  EXPECT_THROW(part_of(all, -1), InternalError);
}

TEST_F(StageDataTest, TheOrderLeavesOutWhatLedgersReject) {
  auto all = parts();
  all[1].passes = 2;
  std::vector<data::Ledger> ledgers(2);
  ledgers[0].rejected = {{.row = 3}, {.row = 8}};
  ledgers[1].rejected = {{.row = 0}};
  StageConfig stage;
  const auto order = make_order(all, ledgers, stage, 1);
  EXPECT_EQ(order->epoch_size(), 22);
  EXPECT_EQ(order->num_rows(), 16);
  std::set<int64_t> seen;
  for (int64_t position = 0; position < 220; ++position) seen.insert(order->row(position));
  std::set<int64_t> expected;
  for (int64_t row = 0; row < 16; ++row)
    if (row != 3 && row != 8 && row != 10) expected.insert(row);
  EXPECT_EQ(seen, expected);
  const auto same = make_order(all, ledgers, stage, 1), other = make_order(all, ledgers, stage, 2);
  int64_t differ = 0;
  for (int64_t position = 0; position < 220; ++position) {
    EXPECT_EQ(order->row(position), same->row(position));
    differ += order->row(position) != other->row(position) ? 1 : 0;
  }
  EXPECT_GT(differ, 100);
}

TEST_F(StageDataTest, BucketsOfBothPartsFillBatches) {
  first_.damaged = {4};
  const auto all = featured({.shape = [](int64_t row) {
    return row % 2 == 0 ? std::pair<int64_t, int64_t>{2, 6} : std::pair<int64_t, int64_t>{3, 4};
  }});
  StageConfig stage;
  stage.aspect_buckets = true;
  stage.batch_size = 4;
  const std::vector<data::Ledger> ledgers = {ledger_of(all[0], folder_ / "quarantine/first.jsonl"),
                                             ledger_of(all[1], folder_ / "quarantine/second.jsonl")};
  EXPECT_EQ(ledgers[0].accepted(), 9);
  const auto order = make_order(all, ledgers, stage, 1);
  FeatureReader reader{.parts = all, .with_sizes = true, .resolution = 256};
  std::set<int64_t> seen;
  int64_t whole = 0;
  for (int64_t step = 0; step < 40; ++step) {
    const auto batches = data::plan_step(*order, {.batch_size = 4}, step);
    whole += batches.size() == 1 ? 1 : 0;
    for (const auto& plan : batches) {
      const auto batch = reader(plan);  // stops where two shapes meet
      EXPECT_EQ(batch.mean.size(2), plan.bucket);
      EXPECT_EQ(batch.mean.size(0), int64_t(plan.rows.size()));
      const double ratio = data::aspect_buckets(256)[plan.bucket].ratio;
      EXPECT_FLOAT_EQ(batch.aspect_ratio[0][0].item<float>(), float(ratio));
      seen.insert(plan.rows.begin(), plan.rows.end());
    }
  }
  EXPECT_EQ(seen.size(), 15);
  EXPECT_GE(whole, 20);
}

TEST_F(StageDataTest, CaptionsAreDrawnByWeight) {
  const std::vector<data::Caption> captions = {
      {"a", "x", 1}, {"b", "y", 3}, {"c", "z", 0.5}, {"d", "w", 5.5}};
  std::vector<int64_t> counts(4);
  constexpr int64_t kDraws = 20000;
  for (int64_t position = 0; position < kDraws; ++position) {
    const size_t drawn = draw_caption(captions, 7, position);
    EXPECT_EQ(drawn, draw_caption(captions, 7, position));
    ++counts.at(drawn);
  }
  for (size_t i = 0; i < 4; ++i) {
    const double share = captions[i].weight / 10, spread = std::sqrt(share * (1 - share) / kDraws);
    EXPECT_NEAR(double(counts[i]) / kDraws, share, 4 * spread) << i;
  }
  EXPECT_EQ(draw_caption({captions[0]}, 7, 3), 0);
  int64_t differ = 0;
  for (int64_t position = 0; position < 100; ++position)
    differ += draw_caption(captions, 7, position) != draw_caption(captions, 8, position) ? 1 : 0;
  EXPECT_GT(differ, 20);
}

TEST_F(StageDataTest, FeaturesOfTwoPartsStandSideBySide) {
  second_.rows[1].captions = {};  // an empty one
  const FeatureReader reader{.parts = featured(),
                             .with_labels = true,
                             .with_captions = true,
                             .with_sizes = true,
                             .max_tokens = kTokens};
  const std::vector<int64_t> rows = {11, 0, 15, 9};
  const auto batch = reader(plan_of({0, 1, 2, 3}, rows));
  EXPECT_EQ(batch.plan.rows, rows);
  ASSERT_EQ(batch.mean.sizes(), (std::vector<int64_t>{4, kPlainChannels, 2, 2}));
  ASSERT_EQ(batch.caption.sizes(), (std::vector<int64_t>{4, kTokens, kChannels}));
  ASSERT_EQ(batch.mask.sizes(), (std::vector<int64_t>{4, kTokens}));
  EXPECT_FALSE(batch.image.defined());
  for (int64_t i = 0; i < 4; ++i) {
    const bool in_second = rows[size_t(i)] >= 10;
    const int64_t row = rows[size_t(i)] - (in_second ? 10 : 0);
    const at::Tensor moments = plain_moments(row, 1, 2, 2)[0].to(at::kHalf).to(at::kFloat);
    EXPECT_TRUE(at::equal(batch.mean[i], moments[0]));
    EXPECT_TRUE(at::equal(batch.log_var[i], moments[1]));
    const auto own = (in_second ? second_ : first_).row(row).captions;
    const at::Tensor features = plain_features(own.empty() ? "" : own[0].text, kChannels);
    const int64_t length = features.size(0);
    EXPECT_TRUE(at::equal(batch.caption[i].narrow(0, 0, length), features));
    EXPECT_TRUE(batch.caption[i].narrow(0, length, kTokens - length).eq(0).all().item<bool>());
    EXPECT_TRUE(batch.mask[i].narrow(0, 0, length).eq(1).all().item<bool>());
    EXPECT_EQ(batch.mask[i].sum().item<int64_t>(), length);
    EXPECT_EQ(batch.label[i].item<int64_t>(), row % 3);
    EXPECT_EQ(batch.image_size[i][0].item<float>(), float(4 + row % 3));
    EXPECT_EQ(batch.image_size[i][1].item<float>(), 5);
    EXPECT_EQ(batch.aspect_ratio[i][0].item<float>(), 1);
  }
  EXPECT_EQ(batch.read_seconds.size(), 2);
  EXPECT_GT(batch.read_seconds[0], 0);
  EXPECT_GT(batch.read_seconds[1], 0);
  const auto only_first = reader(plan_of({4}, {3}));
  EXPECT_EQ(only_first.read_seconds[1], 0);
}

TEST_F(StageDataTest, OnlyWhatIsAskedForIsRead) {
  const auto batch = FeatureReader{.parts = featured()}(plan_of({0}, {0}));
  EXPECT_TRUE(batch.mean.defined());
  EXPECT_FALSE(batch.caption.defined() || batch.label.defined() || batch.image_size.defined());
}

TEST_F(StageDataTest, CaptionsLongerThanTheBatchAreNoOverrun) {
  first_.rows[0].captions[0].text = std::string(40, 'x');
  const FeatureReader reader{.parts = featured(), .with_captions = true, .max_tokens = kTokens};
  EXPECT_THROW(reader(plan_of({0}, {0})), InternalError);
}

TEST_F(StageDataTest, ADrawnCaptionsFeaturesAreRead) {
  first_.rows[0].captions = {{"short", "b", 1}, {"long", "longer", 1}};
  const FeatureReader reader{.parts = featured(), .seed = 3, .with_captions = true, .max_tokens = kTokens};
  const auto batch = reader(counting(50, 1));
  int64_t brief = 0;
  for (int64_t i = 0; i < 50; ++i) {
    const auto& text = first_.rows[0].captions[draw_caption(first_.rows[0].captions, 3, i)].text;
    EXPECT_EQ(batch.mask[i].sum().item<int64_t>(), int64_t(text.size()) + 1);
    brief += text == "b" ? 1 : 0;
  }
  EXPECT_GT(brief, 10);
  EXPECT_LT(brief, 40);
}

TEST_F(StageDataTest, HalfOfTheSamplesAreMirroredTheSameOnesEachTime) {
  const auto all = featured({.variants = 2});
  const FeatureReader reader{.parts = all, .seed = 5, .mirror = true},
      other{.parts = all, .seed = 6, .mirror = true}, never{.parts = all, .seed = 5};
  constexpr int64_t kCount = 1000;
  const auto plan = counting(kCount, 16);
  const auto batch = reader(plan), again = reader(plan), plain = never(plan);
  EXPECT_TRUE(at::equal(batch.mean, again.mean));
  EXPECT_FALSE(at::equal(batch.mean, other(plan).mean));
  int64_t mirrored = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const int64_t row = plan.rows[size_t(i)] % 10;
    const at::Tensor variants =
        plain_moments(plan.rows[size_t(i)] < 10 ? row : plan.rows[size_t(i)] - 10, 2, 2, 2)
            .to(at::kHalf)
            .to(at::kFloat);
    const bool is_mirrored = at::equal(batch.mean[i], variants[1][0]);
    EXPECT_TRUE(at::equal(batch.log_var[i], variants[is_mirrored ? 1 : 0][1]));
    EXPECT_TRUE(at::equal(plain.mean[i], variants[0][0]));
    mirrored += is_mirrored ? 1 : 0;
    // Alone it is the same as among others.
    if (i % 100 == 0) {
      EXPECT_TRUE(at::equal(reader(plan_of({i}, {plan.rows[size_t(i)]})).mean[0], batch.mean[i]));
    }
  }
  EXPECT_NEAR(double(mirrored), kCount / 2.0, 4 * std::sqrt(kCount / 4.0));
}

TEST_F(StageDataTest, ALedgerIsWrittenAndItsBudgetChecked) {
  first_.reject(2, data::Reason::kMissingCaption);
  first_.damaged = {7};
  const auto all = featured();
  const auto ledger = ledger_of(all[0], folder_ / "quarantine/first.jsonl");
  EXPECT_EQ(ledger.accepted(), 8);
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"2.png", "7.png"}));
  sources_[0].quarantine_budget = 0.05;
  EXPECT_THROW(ledger_of(all[0], folder_ / "quarantine/first.jsonl"), UserError);
  EXPECT_EQ(keys_in_quarantine("first").size(), 2);  // to look at
}

class DamagedFeaturesTest : public StageDataTest {
 protected:
  // Damages the latents of a row of the first source (three rows a shard) or its caption.
  void damage(int64_t row, const std::string& kind = "latents") const {
    const fs::path shard = folder_ / ("first-" + kind) / fmt::format("shard-{:05d}.safetensors", row / 3);
    const auto [first, last] = pixart::testing::bytes_of(shard, kind == "latents" ? "moments" : "features");
    const size_t record = (last - first) / 3;  // of the same size each
    pixart::testing::flip_bit(shard, first + record * size_t(row % 3) + record / 2);
  }
  FeatureReader reader(const StageParts& parts) const {
    std::vector<data::Ledger> ledgers;
    std::vector<fs::path> files;
    for (const auto& part : parts) {
      files.push_back(folder_ / "quarantine" / (part.source->name + ".jsonl"));
      ledgers.push_back(ledger_of(part, files.back()));
    }
    return {.parts = parts,
            .seed = 4,
            .with_labels = true,
            .with_captions = true,
            .max_tokens = kTokens,
            .damaged = std::make_shared<DamagedFeatures>(parts, ledgers, files)};
  }
};

TEST_F(DamagedFeaturesTest, AnotherRowIsReadTheSameOneHoweverItIsAsked) {
  first_.damaged = {7};
  const auto all = featured();
  const auto plan = counting(160, 7);  // without the rejected one, as an order is
  const auto whole = reader(all)(plan);
  damage(4);
  damage(2, "captions");
  const auto reading = reader(all);
  const auto batch = reading(plan);
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"2.png", "4.png", "7.png"}));
  std::set<int64_t> stand_ins;
  for (int64_t i = 0; i < 160; ++i) {
    const int64_t planned = plan.rows[size_t(i)], taken = batch.plan.rows[size_t(i)];
    if (planned != 4 && planned != 2) {
      ASSERT_EQ(taken, planned);
      ASSERT_TRUE(at::equal(batch.mean[i], whole.mean[i]) && at::equal(batch.caption[i], whole.caption[i]));
      continue;
    }
    ASSERT_TRUE(taken != 4 && taken != 2 && taken != 7 && taken < 10) << taken;
    stand_ins.insert(taken);
    // It is that row in every respect.
    const auto own = reader(all)(plan_of({i}, {taken}));
    EXPECT_TRUE(at::equal(batch.mean[i], own.mean[0]) && at::equal(batch.log_var[i], own.log_var[0]));
    EXPECT_TRUE(at::equal(batch.caption[i], own.caption[0]) && at::equal(batch.mask[i], own.mask[0]));
    EXPECT_TRUE(at::equal(batch.label[i], own.label[0]));
    // Alone, by another process that knows of no damage yet, it is the same.
    EXPECT_EQ(reader(all)(plan_of({i}, {planned})).plan.rows[0], taken);
  }
  EXPECT_GT(stand_ins.size(), 3);  // drawn anew at each place
  EXPECT_EQ(reading.damaged->size(), 2);
  EXPECT_EQ(reading(plan).plan.rows, batch.plan.rows);
  EXPECT_EQ(reading.damaged->size(), 2);
}

TEST_F(DamagedFeaturesTest, AStandInHasTheSameShape) {
  const auto all = featured({.shape = [](int64_t row) {
    return row % 5 == 4 ? std::pair<int64_t, int64_t>{1, 4} : std::pair<int64_t, int64_t>{2, 2};
  }});
  damage(4);
  const auto reading = reader(all);
  const auto batch = reading(plan_of({0, 1, 2, 3}, {4, 4, 9, 4}));  // 4 and 9 have their shape alone
  EXPECT_EQ(batch.plan.rows, (std::vector<int64_t>{9, 9, 9, 9}));
  EXPECT_EQ(batch.mean.size(2), 1);
  damage(9);
  try {
    reading(plan_of({0}, {4}));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("every row of its shape"), HasSubstr("--mend")));
  }
}

TEST_F(DamagedFeaturesTest, MoreThanTheBudgetEndsTheRunAndSaysHowToMend) {
  sources_[0].quarantine_budget = 0.2;
  const auto all = featured();
  damage(1);
  damage(5, "captions");
  const auto reading = reader(all);
  EXPECT_NO_THROW(reading(counting(10, 10)));
  damage(8);
  try {
    reading(counting(10, 10));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("row 8 (8.png)"), HasSubstr("shard-00002.safetensors"),
                      HasSubstr("quarantine_budget = 0.2"), HasSubstr("extract RUN.yaml --mend")));
  }
}

TEST_F(DamagedFeaturesTest, WithoutARecordOfDamageItIsAnError) {
  const auto all = featured();
  damage(1);
  FeatureReader reading = reader(all);
  reading.damaged = nullptr;
  EXPECT_THROW(reading(counting(10, 10)), data::DamagedRecord);
}

TEST_F(DamagedFeaturesTest, AFaultOfTheDiskIsNoDamage) {
  const auto all = featured();
  const auto reading = reader(all);
  reading(counting(10, 10));  // opens the files
  fs::resize_file(folder_ / "first-latents/shard-00001.safetensors", 8);
  EXPECT_THROW(reading(counting(10, 10)), UserError);
  EXPECT_EQ(reading.damaged->size(), 0);
}

class PictureReaderTest : public StageDataTest {
 protected:
  PictureReader reader(uint64_t seed = 9) const { return {parts(), 4, seed, folder_ / "quarantine"}; }
};

TEST_F(PictureReaderTest, StandInsAreTheSamePreloadedAndStreaming) {
  first_.reject(1, data::Reason::kEmptyFile);
  first_.reject(2, data::Reason::kMissingCaption);  // the picture is fine
  first_.damaged = {5, 6, 7};
  second_.damaged = {0, 4};
  const auto streaming = reader();
  auto preloaded = reader();
  preloaded.preload();
  EXPECT_EQ(preloaded.size(), 16);
  const auto plan = counting(160, 16);
  const auto pictures = streaming(plan).image;
  ASSERT_EQ(pictures.sizes(), (std::vector<int64_t>{160, 3, 4, 4}));
  EXPECT_TRUE(at::equal(preloaded(plan).image, pictures));
  EXPECT_TRUE(at::equal(streaming(plan).image, pictures));
  EXPECT_FALSE(at::equal(reader(10)(plan).image, pictures));  // other stand-ins
  std::set<int> stand_ins;
  for (int64_t i = 0; i < 160; ++i) {
    const int gray = pictures[i][0][0][0].item<int>();
    const int64_t row = i % 16;
    const bool in_second = row >= 10;
    const int own = int(in_second ? row - 10 : row);
    const bool is_bad =
        in_second ? second_.damaged.count(own) > 0 : first_.damaged.count(own) > 0 || own == 1;
    if (!is_bad) {
      EXPECT_EQ(gray, own);
      continue;
    }
    // One of the same source, and a good one.
    EXPECT_LT(gray, in_second ? 6 : 10);
    EXPECT_FALSE(in_second ? second_.damaged.count(gray) > 0 : first_.damaged.count(gray) > 0 || gray == 1);
    if (row == 5) stand_ins.insert(gray);
  }
  EXPECT_GT(stand_ins.size(), 1);  // drawn anew at each place
  EXPECT_TRUE(at::equal(preloaded.range(8, 4), streaming.range(8, 4)));
  EXPECT_EQ(streaming.range(14, 100).size(0), 2);
  EXPECT_EQ(streaming.first(3)[2][0][0][0].item<int>(), 2);
}

TEST_F(PictureReaderTest, QuarantineFilesNameWhatWasFound) {
  first_.reject(1, data::Reason::kEmptyFile);
  first_.damaged = {5};
  auto preloaded = reader();
  preloaded.preload();  // writes them
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"1.png", "5.png"}));
  EXPECT_TRUE(keys_in_quarantine("second").empty());
  fs::remove_all(folder_ / "quarantine");
  const auto streaming = reader();
  streaming.write_quarantine();
  EXPECT_EQ(keys_in_quarantine("first"), std::vector<std::string>{"1.png"});
  streaming(plan_of({0}, {5}));
  streaming(plan_of({1}, {5}));  // once is enough
  streaming.write_quarantine();
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"1.png", "5.png"}));
}

TEST_F(PictureReaderTest, MoreThanTheBudgetIsAnError) {
  sources_[0].quarantine_budget = 0.2;
  first_.damaged = {3, 4};
  auto fits = reader();
  EXPECT_NO_THROW(fits.preload());
  first_.damaged = {3, 4, 5};
  auto preloaded = reader();
  EXPECT_THROW(preloaded.preload(), UserError);
  const auto streaming = reader();
  EXPECT_NO_THROW(streaming(plan_of({0}, {10})));
  EXPECT_THROW(streaming(counting(10, 10)), UserError);
  first_.reject(7, data::Reason::kMissingFile);
  first_.reject(8, data::Reason::kMissingFile);
  first_.reject(9, data::Reason::kMissingFile);
  EXPECT_THROW(reader(), UserError);  // the listing says so
}

TEST_F(PictureReaderTest, ASourceWithoutAnyGoodPictureIsAnErrorAndNoEndlessSearch) {
  for (int64_t row = 0; row < 6; ++row) second_.damaged.insert(row);
  const auto streaming = reader();
  try {
    streaming(plan_of({0}, {12}));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("second"), HasSubstr("none of 6 samples can be used")));
  }
  auto preloaded = reader();
  EXPECT_THROW(preloaded.preload(), UserError);
}

TEST_F(PictureReaderTest, UnitRange) {
  const at::Tensor pixels = at::tensor({0, 255, 51}, at::kByte);
  EXPECT_TRUE(at::allclose(to_unit_range(pixels), at::tensor({-1.0F, 1.0F, -0.6F})));
}

}  // namespace
}  // namespace pixart::train
