#include "pixart/features/excluded_samples.h"

#include "many_keys.h"
#include "pixart/features/image_reader.h"
#include "scratch_folder.h"
#include "stage_data_fixture.h"

namespace pixart::features {
namespace {

using pixart::testing::refusal;

class ExcludedSamplesTest : public StageDataTest {
 protected:
  fs::path file_of(const std::string& lines) const {
    std::ofstream(folder_ / "exclude.jsonl") << lines;
    return folder_ / "exclude.jsonl";
  }
  ExcludedSamples samples_of(const std::string& lines) const { return {parts(), file_of(lines)}; }
};

TEST_F(ExcludedSamplesTest, AFileNamesSamplesByTheirKeys) {
  const auto samples = samples_of(
      "{\"source\": \"first\", \"key\": \"3.png\"}\n\n"
      "{\"source\": \"second\", \"key\": \"2.png\", \"row\": 5, \"from_position\": 40, \"note\": \"moved\"}\n");
  EXPECT_TRUE(samples.rows()->has(3, 0));
  EXPECT_FALSE(samples.rows()->has(12, 39));
  EXPECT_TRUE(samples.rows()->has(12, 40)) << "the key counts, not the row of another listing";
  EXPECT_TRUE(samples.found().empty()) << "no roll-back found them";
}

TEST_F(ExcludedSamplesTest, WhatAStageDoesNotHaveIsNamed) {
  EXPECT_THAT(refusal([&] { samples_of("{\"source\": \"first\", \"key\": \"10.png\"}\n"); }),
              AllOf(HasSubstr("exclude.jsonl"), HasSubstr("source first has no sample with the key 10.png")));
  EXPECT_THAT(refusal([&] { samples_of("{\"source\": \"third\", \"key\": \"1.png\"}\n"); }),
              HasSubstr("1.png of source third, which the stage does not read"));
  EXPECT_THAT(
      refusal([&] { samples_of("{\"source\": \"first\"}\n[1]\n{\"source\": 3, \"key\": \"1.png\"}\n"); }),
      AllOf(HasSubstr("line 1: it lacks source or key"), HasSubstr("line 2: it is not a JSON object"),
            HasSubstr("line 3: source is 3, not a text")));
  EXPECT_THAT(
      refusal([&] { samples_of("{\"source\": \"first\", \"key\": \"1.png\", \"from_position\": -5}\n"); }),
      HasSubstr("line 1: from_position is negative"));
  EXPECT_THAT(refusal([&] {
                samples_of("{\"source\": \"first\", \"key\": \"1.png\", " + testing::many_keys() + "}\n");
              }),
              HasSubstr("line 1: it is not a JSON object"));
  EXPECT_THAT(refusal([&] { ExcludedSamples(parts(), folder_ / "nowhere.jsonl"); }),
              HasSubstr("nowhere.jsonl (exclude) is not a file"));
}

TEST_F(ExcludedSamplesTest, ASourceOfWhichNothingIsLeftIsRefused) {
  std::string later, all;
  for (int i = 0; i < 10; ++i) {
    const std::string key = "{\"source\": \"first\", \"key\": \"" + std::to_string(i) + ".png\"";
    later += key + ", \"from_position\": 4}\n";
    all += key + "}\n";
  }
  EXPECT_TRUE(samples_of(later).rows()->has(9, 4));
  EXPECT_THAT(refusal([&] { samples_of(all); }), HasSubstr("source first has no other samples"));
}

TEST_F(ExcludedSamplesTest, RollBacksAreWrittenAndReadBack) {
  ExcludedSamples samples(parts(), "");
  auto sample = samples.sample(12);
  EXPECT_EQ(sample.source, "second");
  EXPECT_EQ(sample.key, "2.png");
  sample.from_position = 8;
  sample.step = 5;
  sample.roll_back = 2;
  sample.reason = "the \"loss\"";
  samples.add({sample});
  samples.add({sample});
  const auto again = parse_excluded(lines_of(samples.found()), "a.jsonl");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].row, 2);
  EXPECT_EQ(again[0].from_position, 8);
  EXPECT_EQ(again[0].step, 5);
  EXPECT_EQ(again[0].roll_back, 2);
  EXPECT_EQ(again[0].reason, "the \"loss\"");
  // As the `exclude` of another run it has the same effect.
  const auto other = samples_of(lines_of(samples.found()));
  EXPECT_FALSE(other.rows()->has(12, 7));
  EXPECT_TRUE(other.rows()->has(12, 8));
}

// After a second roll-back to an earlier checkpoint; otherwise the same sample would be used again for ever.
TEST_F(ExcludedSamplesTest, AnEarlierPositionTakesThePlaceOfALaterOne) {
  ExcludedSamples samples(parts(), "");
  auto sample = samples.sample(12);
  for (const int64_t position : {40, 24, 30}) {
    sample.from_position = position;
    ++sample.roll_back;
    samples.add({sample});
  }
  ASSERT_EQ(samples.found().size(), 1u);
  EXPECT_EQ(samples.found().front().from_position, 24);
  EXPECT_EQ(samples.found().front().roll_back, 2);
  EXPECT_FALSE(samples.rows()->has(12, 23));
  EXPECT_TRUE(samples.rows()->has(12, 24));
}

TEST_F(ExcludedSamplesTest, TheFingerprintIsThatOfTheContent) {
  const auto file = file_of("{\"source\": \"first\", \"key\": \"3.png\"}\n");
  fs::copy_file(file, folder_ / "moved.jsonl");
  EXPECT_EQ(exclude_fingerprint(""), "none");
  EXPECT_EQ(exclude_fingerprint(file), exclude_fingerprint(folder_ / "moved.jsonl"));
  EXPECT_NE(exclude_fingerprint(file), "none");
}

// Replacements that are found while samples are read follow the same rule as those of the order.
TEST_F(ExcludedSamplesTest, AnExcludedRowReplacesNoDamagedOne) {
  first_.damaged = {0, 1, 2, 3, 4, 5, 6};
  const auto excluded = std::make_shared<data::ExcludedRows>();
  excluded->add(8, 20);
  ImageReader reader(parts(), 4, 9, folder_ / "quarantine");
  reader.leave_out(excluded);
  std::set<int64_t> before, after;
  for (int64_t position = 0; position < 100; ++position)
    (position < 20 ? before : after).insert(reader(plan_of({position}, {position % 7})).plan.rows.front());
  EXPECT_THAT(before, ::testing::Contains(8));
  EXPECT_EQ(after, (std::set<int64_t>{7, 9}));
}

}  // namespace
}  // namespace pixart::features
