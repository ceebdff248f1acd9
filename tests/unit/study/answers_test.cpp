#include "answers.h"

#include <gmock/gmock.h>

#include "scratch_folder.h"

namespace pixart::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Shape kShape{.id = "abc", .people = {{"p01", {2, 2, 3}}, {"p02", {2}}}};

std::string fault_of(const std::string& line) { return read_answer(line, kShape).fault; }

TEST(ReadAnswer, ReadsOrdersAndCannotTell) {
  const auto read = read_answer(
      R"({"study":"abc","person":"p01","trial":2,"order":[[2],[1,0]],"ms":1234,"seq":5,"more":"<b>"})",
      kShape);
  EXPECT_EQ(read.fault, "");
  EXPECT_THAT(read.answer.order, ElementsAre(ElementsAre(2), ElementsAre(0, 1)));
  EXPECT_EQ(answer_json(read.answer).dump(), R"({"order":[[2],[0,1]],"ms":1234,"seq":5})");
  const auto none =
      read_answer(R"({"study":"abc","person":"p02","trial":0,"cannot_tell":true,"ms":0,"seq":1})", kShape);
  EXPECT_EQ(none.fault, "");
  EXPECT_TRUE(none.answer.order.empty());
}

TEST(ReadAnswer, RefusesEverythingElse) {
  const auto with = [](const std::string& part) {
    return R"({"study":"abc","person":"p01","trial":1,"ms":5,"seq":1,)" + part + "}";
  };
  for (const char* order :
       {"[[0]]", "[[0],[0]]", "[[0],[2]]", "[[0],[-1]]", "[[0],[1.0]]", "[0,1]", "[[0,1],[]]",
        "[[0],[1],[1]]", "7", "null", "[[0],[\"1\"]]", "[[18446744073709551615],[0]]"})
    EXPECT_THAT(fault_of(with(std::string("\"order\":") + order)), HasSubstr("positions 0 to 1")) << order;
  EXPECT_THAT(fault_of(with("\"cannot_tell\":1")), HasSubstr("no order"));
  EXPECT_EQ(fault_of(with("\"order\":[[1],[0]]")), "");
  EXPECT_THAT(fault_of("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(fault_of(std::string(1000, '[')), HasSubstr("not a JSON object"));
  EXPECT_THAT(fault_of(std::string(5000, 'a')), HasSubstr("at most"));
  EXPECT_THAT(fault_of("{\"study\":\"abc\",\"x\":" + std::string(900, '[') + std::string(900, ']') + "}"),
              HasSubstr("not a JSON object"));
  EXPECT_THAT(fault_of(R"({"study":"xyz","person":"p01"})"), HasSubstr("another study"));
  EXPECT_THAT(fault_of(R"({"study":"abc","person":"p09"})"), HasSubstr("no such person"));
  for (const char* trial : {"3", "-1", "1.5", "\"1\"", "99999999999999999999"})
    EXPECT_THAT(
        fault_of(std::string(R"({"study":"abc","person":"p01","ms":1,"seq":1,"trial":)") + trial + "}"),
        HasSubstr("no such screen"));
  EXPECT_THAT(fault_of(R"({"study":"abc","person":"p01","trial":0,"ms":-1,"seq":1})"),
              HasSubstr("whole number"));
}

class ReadAnswers : public pixart::testing::ScratchFolder {
 protected:
  static std::string line(int best, int seq, int ms = 9) {
    return fmt::format(
        "{{\"study\":\"abc\",\"person\":\"p02\",\"trial\":0,\"order\":[[{}],[{}]],\"ms\":{},\"seq\":{}}}\n",
        best, 1 - best, ms, seq);
  }
};

TEST_F(ReadAnswers, TheNewestCounts) {
  const auto collected =
      read_answers({write("b.jsonl", line(1, 3)), write("a.jsonl", line(0, 2) + "\n" + line(0, 1))}, kShape);
  EXPECT_EQ(collected.answers.at("p02").at(0).order.front().front(), 1);
  EXPECT_TRUE(collected.contradicted.empty());
}

TEST_F(ReadAnswers, TwoPeopleWithOneNumberAreNoticed) {
  const auto same = read_answers({write("a.jsonl", line(1, 3) + line(1, 3))}, kShape);
  EXPECT_TRUE(same.contradicted.empty());
  const auto two = read_answers({write("a.jsonl", line(1, 3) + line(0, 3))}, kShape);
  EXPECT_EQ(two.contradicted.at("p02"), 1);
}

TEST_F(ReadAnswers, LinesThatAreNoneAreNamed) {
  const auto collected = read_answers({write("a.jsonl", "\x1b[2J\n" + line(1, 3) + "{}\n")}, kShape);
  ASSERT_EQ(collected.remarks.size(), 2u);
  EXPECT_THAT(collected.remarks[0], HasSubstr("a.jsonl, line 1: it is not a JSON object"));
  EXPECT_THAT(collected.remarks[1], HasSubstr("line 3"));
  EXPECT_EQ(collected.answers.size(), 1u);
}

}  // namespace
}  // namespace pixart::study
