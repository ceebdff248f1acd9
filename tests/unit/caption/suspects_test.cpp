#include "suspects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart::caption {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Result failed(const std::string& key) {
  return {.key = key, .text = {}, .reason = "error", .detail = "HTTP 400, no images", .model = {}};
}

// Adds until it throws; how many that took.
int failures_until(Suspects& suspects, AnswerFault fault, ExitCode code, std::string* message) {
  for (int i = 1; i <= 100; ++i) {
    try {
      suspects.add(failed(std::to_string(i)), fault);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), code);
      *message = error.what();
      return i;
    }
  }
  return 0;
}

TEST(Suspects, SilenceEndsTheCallSoon) {
  Suspects suspects("http://here", false);
  std::string message;
  EXPECT_EQ(failures_until(suspects, AnswerFault::kNoAnswer, ExitCode::kBadInput, &message), 3);
  EXPECT_THAT(message,
              AllOf(HasSubstr("http://here"), HasSubstr("HTTP 400, no images"), HasSubstr("running")));
}

TEST(Suspects, RefusalsEndItLater) {
  Suspects suspects("http://here", true);
  std::string message;
  EXPECT_EQ(failures_until(suspects, AnswerFault::kError, ExitCode::kBadInput, &message), 20);
  EXPECT_THAT(message, HasSubstr("20 requests in a row"));
}

TEST(Suspects, AfterAnswersItMayBeStartedAgain) {
  Suspects suspects("http://here", false);
  suspects.acquit_endpoint();
  std::string message;
  EXPECT_EQ(failures_until(suspects, AnswerFault::kNoAnswer, ExitCode::kRequeue, &message), 3);
  EXPECT_THAT(message, HasSubstr("same command continues"));
}

TEST(Suspects, ARateLimitIsNoFaultOfTheSetup) {
  for (const bool has_answered : {false, true}) {
    Suspects suspects("http://here", false);
    if (has_answered) suspects.acquit_endpoint();
    Result limited = failed("a");
    limited.detail = "HTTP 200 (meaning 429), Slow down.";
    suspects.add(limited, AnswerFault::kNoAnswer, 429);
    suspects.add(limited, AnswerFault::kNoAnswer, 429);
    try {
      suspects.add(limited, AnswerFault::kNoAnswer, 429);
      ADD_FAILURE() << "not ended";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kRequeue);
      EXPECT_STREQ(
          error.what(),
          "http://here gave no answer to 3 requests in a row: HTTP 200 (meaning 429), Slow down. The "
          "endpoint limits the number of requests: give a smaller --in-flight, more --retries or a "
          "longer --first-pause, or wait. All answers so far are kept; the same command continues.");
    }
  }
}

TEST(Suspects, AnAnswerBlamesTheImages) {
  Suspects suspects("http://here", false);
  for (int round = 0; round < 10; ++round) {
    suspects.add(failed("a"), AnswerFault::kNoAnswer);
    suspects.add(failed("b"), AnswerFault::kNoAnswer);
    EXPECT_EQ(suspects.acquit_endpoint().size(), 2u);
  }
  EXPECT_TRUE(suspects.acquit_endpoint().empty());
}

TEST(Suspects, AtTheEndTheEndpointMustHaveAnsweredOnce) {
  Suspects never("http://here", false);
  never.add(failed("a"), AnswerFault::kError);
  EXPECT_THROW(never.finish(), UserError);
  Suspects before("http://here", true);
  before.add(failed("a"), AnswerFault::kError);
  EXPECT_EQ(before.finish().size(), 1u);
  EXPECT_TRUE(Suspects("http://here", false).finish().empty());
}

}  // namespace
}  // namespace pixart::caption
