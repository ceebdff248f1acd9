// Who is named when ranks end in all orders.
#include "blame.h"

#include <gmock/gmock.h>

#include <csignal>

#include "phase_board.h"
#include "pixart/distributed/phase.h"
#include "rank_output.h"

namespace pixart::distributed {
namespace {

using ::testing::HasSubstr;

RankEnd ended(int code, int order, int accused = -1) {
  RankEnd end;
  end.exit_code = code;
  end.order = order;
  end.accused = accused;
  end.phase = "step " + std::to_string(order);
  return end;
}

RankEnd killed(int signal, int order, bool was_stopped = false) {
  RankEnd end = ended(0, order);
  end.signal = signal;
  end.was_stopped = was_stopped;
  return end;
}

TEST(Blame, NobodyWhenAllAreDoneOrStopped) {
  EXPECT_FALSE(find_guilty(std::vector{ended(0, 0), ended(75, 1)}));
  EXPECT_FALSE(is_failure(ended(75, 0)));
  EXPECT_TRUE(is_failure(ended(1, 0)));
}

TEST(Blame, TheOneThatFailedByItself) {
  // Rank 0 noticed the end of rank 1, and was reaped before it.
  const auto guilty = find_guilty(std::vector{ended(76, 0, 1), ended(3, 1), ended(76, 2, 1)});
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 1);
  EXPECT_EQ(guilty->code, 3);
  EXPECT_THAT(guilty->message, HasSubstr("rank 1 of 3 ended with exit code 3. Its last phase: \"step 1\""));
}

TEST(Blame, TheOneThatFailedByItselfAndWasAskedToStopMeanwhile) {
  std::vector ends{ended(76, 0, 1), ended(76, 1)};
  ends[1].was_stopped = true;
  const auto guilty = find_guilty(ends);
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 1);
  EXPECT_THAT(guilty->message, HasSubstr("rank 1 of 2 ended with exit code 76"));
}

// Rank 1's GPU fails. NCCL tells rank 0 that some rank is gone, and rank 0 ends first.
TEST(Blame, TheOneWhoseDeviceFailedAndNotTheOneThatNoticed) {
  std::vector ends{ended(76, 0), ended(76, 1)};
  ends[0].problem = "rank 0: NCCL: remote process exited or there was a network error in \"step 2\"";
  EXPECT_EQ(find_guilty(ends)->rank, 1);
  ends[1].was_stopped = true;
  EXPECT_EQ(find_guilty(ends)->rank, 1);
  EXPECT_THAT(find_guilty(ends)->message, HasSubstr("rank 1 of 2 ended with exit code 76"));
  ends[1] = ended(75, 1);  // it was only stopped
  EXPECT_EQ(find_guilty(ends)->rank, 0);
}

TEST(Blame, TheOneThatOutlastedARequestToStop) {
  std::vector ends{ended(75, 0), ended(75, 1), killed(SIGKILL, 2, true)};
  ends[2].outlasted_stop = true;
  const auto guilty = find_guilty(ends);
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 2);
  EXPECT_EQ(guilty->code, 76);
  EXPECT_THAT(guilty->message, HasSubstr("rank 2 of 3 did not end on the request to stop"));
  EXPECT_THAT(guilty->message, HasSubstr("Its last phase: \"step 2\""));
}

TEST(Blame, TheOneThatStayedIdleAtTheEnd) {
  std::vector ends{ended(0, 0), ended(0, 1), killed(SIGKILL, 2, true)};
  ends[2].stayed_idle = true;
  const auto guilty = find_guilty(ends);
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 2);
  EXPECT_EQ(guilty->code, 76);
  EXPECT_THAT(guilty->message, HasSubstr("rank 2 of 3 did not end and used no processor time"));
}

TEST(Blame, TheOneThatWasKilled) {
  const auto guilty = find_guilty(std::vector{ended(76, 0, 1), killed(SIGKILL, 1), killed(SIGTERM, 2, true)});
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 1);
  EXPECT_EQ(guilty->code, 128 + SIGKILL);
  EXPECT_THAT(guilty->message, HasSubstr("memory was short"));
}

TEST(Blame, TheOneThatHangs) {
  const auto guilty = find_guilty(std::vector{ended(76, 0, 2), ended(76, 1, 2), killed(SIGKILL, 2, true)});
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 2);
  EXPECT_EQ(guilty->code, 76);
  EXPECT_THAT(guilty->message,
              HasSubstr("rank 2 of 3 hung, while rank 0 waited in \"step 0\". Its last phase: \"step 2\""));
}

TEST(Blame, TheOneWhoseOwnCallFailed) {
  std::vector ends = {ended(76, 0, 1), ended(76, 1, 1), ended(76, 2, 1)};
  for (auto& end : ends) end.problem = "rank 1: NCCL: internal error in \"step 1\"";
  for (const bool was_killed : {false, true}) {  // after it said so
    if (was_killed) ends[1].signal = SIGKILL, ends[1].was_stopped = true;
    const auto guilty = find_guilty(ends);
    ASSERT_TRUE(guilty);
    EXPECT_EQ(guilty->rank, 1);
    EXPECT_EQ(guilty->code, 76);
    EXPECT_EQ(guilty->message,
              "rank 1 of 3 failed: NCCL: internal error in \"step 1\". Its last phase: \"step 1\".");
  }
  ends[2] = killed(SIGSEGV, 0);  // the cause of the error of NCCL
  EXPECT_EQ(find_guilty(ends)->rank, 2);
}

TEST(Blame, OneThatHearsThatItIsLost) {
  const auto guilty = find_guilty(std::vector{ended(76, 0, 1), ended(76, 1, 1)});
  ASSERT_TRUE(guilty);
  EXPECT_THAT(guilty->message, HasSubstr("rank 1 of 2 hung, while rank 0 waited in"));
}

TEST(Blame, WhyNobodyInParticularIsToBlameIsSaid) {
  std::vector ends = {ended(76, 1), ended(76, 0)};
  for (auto& end : ends) end.problem = "\"step 3\" is not done after 5 s on rank 0";
  const auto guilty = find_guilty(ends);
  ASSERT_TRUE(guilty);
  EXPECT_EQ(
      guilty->message,
      "rank 1 of 2 ended with exit code 76: \"step 3\" is not done after 5 s on rank 0. Its last phase: "
      "\"step 0\".");
}

TEST(Blame, TheOneThatLeftEarly) {
  const auto guilty = find_guilty(std::vector{ended(76, 1, 1), ended(0, 0)});
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 1);
  EXPECT_THAT(guilty->message, HasSubstr("rank 1 of 2 ended early with exit code 0"));
}

TEST(Blame, ACrashDuringTheStopIsStillACrash) {
  const auto guilty = find_guilty(std::vector{ended(70, 0), killed(SIGSEGV, 1, true)});
  ASSERT_TRUE(guilty);
  EXPECT_EQ(guilty->rank, 1);
}

TEST(RankOutput, ShowsWarningsAndErrorsOnly) {
  RankOutput output(3);
  EXPECT_EQ(output.add("info   step 1\nwarn   slow di"), "");
  EXPECT_EQ(output.add("sk\ninfo   step 2\n"), "[rank 3] warn   slow disk\n");
  EXPECT_EQ(output.add("error  run.yaml: 2 problems\n  - one\n  - two\ninfo   end\n  more\n"),
            "[rank 3] error  run.yaml: 2 problems\n[rank 3]   - one\n[rank 3]   - two\n");
  EXPECT_EQ(output.add("error  no newline"), "");
  EXPECT_EQ(output.end(), "[rank 3] error  no newline\n");
  EXPECT_THAT(output.last_lines(), HasSubstr("[rank 3] info   end\n[rank 3]   more\n"));
}

TEST(Phase, IsKeptAndCut) {
  enter_phase("reading a batch");
  EXPECT_EQ(current_phase(), "reading a batch");
  enter_phase(std::string(1000, 'x'));
  EXPECT_EQ(current_phase(), std::string(199, 'x'));
  enter_phase("");
  EXPECT_EQ(current_phase(), "");
}

TEST(PhaseBoard, BeginsEmpty) {
  const PhaseBoard board(3);
  EXPECT_EQ(board.phase(2), "");
  EXPECT_EQ(board.accused(2), -1);
  EXPECT_EQ(board.problem(2), "");
}

}  // namespace
}  // namespace pixart::distributed
