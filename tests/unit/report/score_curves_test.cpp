// Curves of scores over the steps of a stage.
#include "pixart/report/page.h"
#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ScoreCurves : public testing::RunFolderTest {
 protected:
  void put_card(const std::string& stage, int step, double value, int images = 234) const {
    put(fmt::format("scores/{}/step-{:08}.json", stage, step),
        fmt::format(
            R"({{"kind": "pixart score, 1", "scores": {{"fd_x": {}, "fd_x_deviation": 1}}, "protocol": {{"num_images": {}}}}})",
            value, images));
  }
  // The charts of the whole page are those of the scores: the run has no losses.
  std::string page() const { return run_page({.record = read_run(folder_)}, {}); }
};

TEST_F(ScoreCurves, CompareStagesOfOneProtocol) {
  for (const int step : {200, 600}) {
    put_card("reparameterized", step, 40);
    put_card("scratch", step, 80);
  }
  put_card("class", 500, 90);
  // One chart, for wide pages, with a line for each stage that has two steps; of deviations there is none.
  EXPECT_THAT(page(),
              AllOf(HasSubstr("fd_x over the steps"), HasSubstr("polyline class=\"series-1\""),
                    Not(HasSubstr("polyline class=\"series-2")), Not(HasSubstr("fd_x_deviation over"))));
}

TEST_F(ScoreCurves, OfOtherProtocolsAreNotJoined) {
  put_card("text", 200, 80);
  put_card("text", 600, 40, 117);
  EXPECT_THAT(page(), Not(HasSubstr("over the steps")));
  put_card("text", 800, 70);
  put_card("text", 900, 30, 117);
  // The letters are those of the table.
  EXPECT_THAT(page(), AllOf(HasSubstr("fd_x, protocol A over the steps"),
                            HasSubstr("fd_x, protocol B over the steps")));
}

}  // namespace
}  // namespace pixart::report
