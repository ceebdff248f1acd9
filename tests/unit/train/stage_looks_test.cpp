#include "stage_looks.h"

#include "scratch_folder.h"

namespace pixart::train {
namespace {

run::StageConfig stage() {
  run::StageConfig stage;
  stage.name = "text";
  stage.steps = 10;
  stage.samples.every = 5;
  stage.validation.every = 4;
  stage.metrics.every = 3;
  return stage;
}

TEST(PlannedLooks, ComeAtTheirStepsAndAtTheEnd) {
  const auto at = [](int64_t step) { return planned_looks(stage(), step); };
  EXPECT_FALSE(at(0).any());
  EXPECT_TRUE(at(3).metrics && !at(3).validation && !at(3).images);
  EXPECT_TRUE(at(4).validation && !at(4).metrics);
  EXPECT_TRUE(at(5).images && !at(5).metrics);
  EXPECT_TRUE(at(10).metrics && at(10).validation && at(10).images);
  auto without = stage();
  without.metrics.every = 0;
  EXPECT_FALSE(planned_looks(without, 10).metrics);
}

using MissingLooks = testing::ScratchFolder;

// A line of scores at the step, not one of another step or another kind, says that they were computed.
TEST_F(MissingLooks, AreThoseWithoutTheirLine) {
  const run::RunFolder folder{folder_};
  run::MetricSink sink(folder.events());
  const auto missing = [&](int64_t step) { return missing_looks(folder, stage(), step, sink).metrics; };
  sink.write("text", 3, {{"metric_images", 4}, {"metric_fid", 30}});
  sink.write("other", 6, {{"metric_images", 4}, {"metric_fid", 30}});
  sink.write("text", 6, {{"loss", 1}});
  EXPECT_TRUE(missing(6));
  EXPECT_FALSE(missing(5));
  sink.write("text", 6, {{"metric_images", 4}, {"metric_fid", 20}});
  EXPECT_FALSE(missing(6));
  EXPECT_TRUE(missing(10));
}

}  // namespace
}  // namespace pixart::train
