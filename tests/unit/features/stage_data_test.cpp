#include "pixart/features/stage_data.h"

#include "stage_data_fixture.h"

namespace pixart::features {
namespace {

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
  run::StageConfig stage;
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

TEST_F(StageDataTest, PriorsWeighTheirMeanAndNotTheirShare) {
  auto all = parts();  // 10 and 6 rows
  run::StageConfig stage;
  stage.mix = {{.source = "first"}, {.source = "second"}};
  EXPECT_TRUE(loss_weights(all, stage).empty());
  stage.mix[1].prior_weight = 0.5;
  EXPECT_EQ(loss_weights(all, stage), (std::vector<double>{1.6, 0.5 * 16 / 6}));
  all[0].passes = 3;
  EXPECT_EQ(loss_weights(all, stage), (std::vector<double>{1.2, 0.5 * 6}));
  stage.mix[1].prior_weight = 0;
  EXPECT_EQ(loss_weights(all, stage), (std::vector<double>{1.2, 0})) << "they are drawn, and have no effect";
}

std::shared_ptr<const data::RowSelection> selection_of(const std::vector<double>& weights) {
  data::RowSelection result{
      .verdicts = {{data::Reason::kScoreTooLow, "low"}}, .drawn = data::drawn_rows(weights), .sha256 = "abc"};
  for (const double weight : weights) result.verdict_of.push_back(weight > 0 ? 0 : 1);
  return std::make_shared<const data::RowSelection>(std::move(result));
}

TEST_F(StageDataTest, ScoresFilterAndWeightAPartAndAreNamedForCheckpoints) {
  first_.select(selection_of({0, 0, 0, 0, 0, 0, 0, 1, 0, 3}));
  const auto all = parts();
  const auto order = make_order(all, std::vector<data::Ledger>(2), run::StageConfig{}, 1);
  EXPECT_EQ(order->epoch_size(), 2 + 6);
  std::map<int64_t, int64_t> counts;
  for (int64_t position = 0; position < 800; ++position) ++counts[order->row(position)];
  EXPECT_NEAR(double(counts[7]), 50, 25);  // 5 deviations
  EXPECT_EQ(counts[7] + counts[9], 200);
  EXPECT_EQ(counts.size(), 8u) << "the other source is whole";
  EXPECT_EQ(score_fingerprints(all), (std::map<std::string, std::string>{{"scores of first", "abc"}}));
  EXPECT_TRUE(uses_row(all[0], 9) && uses_row(all[1], 0));
  EXPECT_FALSE(uses_row(all[0], 8));
}

// Rows that scores leave out have features, but take nobody's place.
TEST_F(StageDataTest, DamagedFeaturesAreReplacedByWhatTheScoresKeep) {
  first_.select(selection_of({0, 0, 1, 0, 0, 1, 0, 0, 0, 0}));
  const auto all = parts();
  const std::vector<data::Ledger> ledgers = {data::make_ledger("first", first_, {}),
                                             data::make_ledger("second", second_, {})};
  EXPECT_EQ(ledgers[0].accepted(), 2);
  std::vector<std::shared_ptr<data::QuarantineFile>> files;
  for (const auto& part : all)
    files.push_back(std::make_shared<data::QuarantineFile>(folder_ / (part.source->name + ".jsonl")));
  const DamagedFeatures damaged(all, ledgers, files);
  for (int64_t position = 0; position < 40; ++position) {
    int64_t passed = 0;
    EXPECT_EQ(damaged.stand_in(0, 2, position, 1, passed, [](int64_t) { return true; }), 5);
  }
}

TEST_F(StageDataTest, DamagedFeaturesAreReplacedByWeight) {
  first_.select(selection_of({1, 0, 1, 0, 0, 97, 0, 0, 0, 1}));
  const auto all = parts();
  std::vector<data::Ledger> ledgers = {data::make_ledger("first", first_, {}),
                                       data::make_ledger("second", second_, {})};
  std::vector<std::shared_ptr<data::QuarantineFile>> files(
      2, std::make_shared<data::QuarantineFile>(folder_ / "q.jsonl"));
  const DamagedFeatures damaged(all, ledgers, files);
  std::map<int64_t, int64_t> counts;
  for (int64_t position = 0; position < 400; ++position) {
    int64_t passed = 0;
    ++counts[damaged.stand_in(0, 0, position, 1, passed, [](int64_t) { return true; })];
  }
  EXPECT_GT(counts[5], 360);  // 388 on average
  EXPECT_EQ(counts.size(), 3u);
}

TEST_F(StageDataTest, BucketsOfBothPartsFillBatches) {
  first_.damaged = {4};
  const auto all = featured({.shape = [](int64_t row) {
    return row % 2 == 0 ? std::pair<int64_t, int64_t>{2, 6} : std::pair<int64_t, int64_t>{3, 4};
  }});
  run::StageConfig stage;
  stage.aspect_buckets = true;
  stage.batch_size = 4;
  data::QuarantineFile first(folder_ / "quarantine/first.jsonl"), second(folder_ / "quarantine/second.jsonl");
  const std::vector<data::Ledger> ledgers = {ledger_of(all[0], &first), ledger_of(all[1], &second)};
  EXPECT_EQ(ledgers[0].accepted(), 9);
  for (const auto version : {data::OrderVersion::kListed, data::OrderVersion::kComputed}) {
    const auto order = make_order(all, ledgers, stage, 1, nullptr, version);
    const FeatureReader reader{
        .parts = all, .with_sizes = true, .shapes = std::make_shared<data::TrainingShapes>(stage.shapes())};
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
    // Held-out samples are read without a bucket.
    const auto alone = reader(plan_of({1}, {1}));
    EXPECT_FLOAT_EQ(alone.aspect_ratio[0][0].item<float>(), float(data::aspect_buckets(256)[3].ratio));
  }
}

// At each of its resolutions another image may be unusable; the file of the source has all of them once.
TEST_F(StageDataTest, ASourceOfSeveralPartsHasOneQuarantineFile) {
  StageParts all = {featured()[0], {}};
  all[1] = all[0];
  all[1].first_row = 10, all[1].first_bucket = 40;
  EXPECT_FALSE(is_repeated(all, 0));
  EXPECT_TRUE(is_repeated(all, 1));
  EXPECT_EQ(bucket_of(all[1], 3), bucket_of(all[0], 3) + 40);
  std::vector<data::Ledger> ledgers(2);
  const auto rejection = [](int64_t row) {
    return data::Rejection{.row = row, .key = fmt::format("{}.png", row)};
  };
  ledgers[0].rejected = {rejection(2), rejection(4)};
  ledgers[1].rejected = {rejection(1), rejection(4)};
  {
    data::QuarantineFile file(folder_ / "quarantine/first.jsonl");
    file.replace(ledgers[0]);
    append_new(all, ledgers, file);
  }
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"2.png", "4.png", "1.png"}));
}

TEST_F(StageDataTest, ALedgerIsWrittenAndItsBudgetChecked) {
  first_.reject(2, data::Reason::kMissingCaption);
  first_.damaged = {7};
  const auto all = featured();
  data::QuarantineFile file(folder_ / "quarantine/first.jsonl");
  const auto ledger = ledger_of(all[0], &file);
  EXPECT_EQ(ledger.accepted(), 8);
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"2.png", "7.png"}));
  sources_[0].quarantine_budget = 0.05;
  EXPECT_THROW(ledger_of(all[0], &file), UserError);
  EXPECT_EQ(keys_in_quarantine("first").size(), 2);  // to look at
  fs::remove_all(folder_ / "quarantine");
  sources_[0].quarantine_budget = 1;
  EXPECT_EQ(ledger_of(all[0], nullptr).accepted(), 8);
  EXPECT_FALSE(fs::exists(folder_ / "quarantine"));
}

}  // namespace
}  // namespace pixart::features
