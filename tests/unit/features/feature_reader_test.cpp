#include "pixart/features/feature_reader.h"

#include "stage_data_fixture.h"

namespace pixart::features {
namespace {

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

// All features of the row, [kTokens, C] each, zero after its own tokens.
void expect_caption(const StageParts& parts, const data::Batch& batch, int64_t row) {
  const auto& set = *parts[0].captions;
  const int32_t id = set.ids(row).first[0];
  const int64_t length = set.num_tokens(id);
  at::Tensor own = at::empty({length, set.channels()}, set.read_dtype());
  set.read(id, own.data_ptr());
  EXPECT_TRUE(at::equal(batch.caption[0].narrow(0, 0, length), own)) << row;
  EXPECT_FALSE(batch.caption[0].slice(0, length).any().item<bool>()) << row;
}

TEST_F(StageDataTest, MemoryOfCaptionsIsTakenAgainWhenNobodyHoldsIt) {
  for (size_t row = 0; row < 10; ++row)
    first_.rows[row].captions[0].text = std::string(kTokens - 1 - row % 5, 'x');
  const auto all = featured();
  const FeatureReader reader{.parts = all, .with_captions = true, .max_tokens = kTokens};
  std::set<const void*> places;
  for (int64_t row = 0; row < 10; ++row) {
    const auto batch = reader(plan_of({row}, {row}));
    expect_caption(all, batch, row);
    places.insert(batch.caption.data_ptr());
  }
  EXPECT_EQ(places.size(), 1);
}

TEST_F(StageDataTest, MemoryOfCaptionsThatIsHeldIsLeftAlone) {
  const auto all = featured();
  const FeatureReader reader{.parts = all, .with_captions = true, .max_tokens = kTokens};
  const at::Tensor whole = reader(plan_of({0}, {0})).caption,
                   view = reader(plan_of({1}, {1})).caption.narrow(1, 0, 1);
  const at::Tensor copy_of_whole = whole.clone(), copy_of_view = view.clone();
  for (int64_t row = 2; row < 6; ++row) {
    const auto batch = reader(plan_of({row}, {row}));
    EXPECT_NE(batch.caption.data_ptr(), whole.data_ptr());
    EXPECT_NE(batch.caption.data_ptr(), view.data_ptr());
  }
  EXPECT_TRUE(at::equal(whole, copy_of_whole));
  EXPECT_TRUE(at::equal(view, copy_of_view));
}

TEST_F(StageDataTest, WhatIsWrittenIntoABatchDoesNotReachTheNextOne) {
  const auto all = featured();
  const FeatureReader reader{.parts = all, .with_captions = true, .max_tokens = kTokens};
  reader(plan_of({0}, {0})).caption.fill_(7);
  expect_caption(all, reader(plan_of({1}, {1})), 1);
  reader(plan_of({0, 1}, {0, 1}));  // of another size
  expect_caption(all, reader(plan_of({2}, {2})), 2);
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
    std::vector<std::shared_ptr<data::QuarantineFile>> files;
    for (const auto& part : parts) {
      files.push_back(
          std::make_shared<data::QuarantineFile>(folder_ / "quarantine" / (part.source->name + ".jsonl")));
      ledgers.push_back(ledger_of(part, files.back().get()));
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
  EXPECT_THAT(keys_in_quarantine("first"), ::testing::UnorderedElementsAre("2.png", "4.png", "7.png"));
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

TEST_F(DamagedFeaturesTest, AQuarantineThatCannotBeOpenedEndsNothing) {
  first_.damaged = {7};
  const auto all = featured();
  damage(4);
  std::ofstream(folder_ / "quarantine") << "a file in the place of the folder";
  const auto reading = reader(all);
  reading(counting(10, 7));
  EXPECT_EQ(reading.damaged->size(), 1);
  fs::remove(folder_ / "quarantine");
  reading.damaged->write_waiting();
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"7.png", "4.png"}));
  EXPECT_TRUE(keys_in_quarantine("second").empty());
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
    EXPECT_THAT(error.what(), AllOf(HasSubstr("every other row of its shape"), HasSubstr("--mend")));
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

}  // namespace
}  // namespace pixart::features
