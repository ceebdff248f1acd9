#include "judge_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "error_body.h"

namespace pixart::caption {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using Top = std::vector<std::pair<std::string, json>>;  // token, logprob

// A reply with the probabilities of its places: the chosen token, and the most probable ones.
std::string reply(const std::string& text, const std::vector<std::pair<std::string, Top>>& places,
                  const std::string& finish = "stop") {
  json content = json::array();
  for (const auto& [chosen, top] : places) {
    json place = {{"token", chosen}, {"logprob", top.front().second}, {"top_logprobs", json::array()}};
    for (const auto& [token, logprob] : top)
      place["top_logprobs"].push_back({{"token", token}, {"logprob", logprob}});
    content.push_back(place);
  }
  json choice = {{"message", {{"content", text}}}, {"finish_reason", finish}};
  choice["logprobs"]["content"] = content;
  json result = {{"model", "eyes-1"}};
  result["choices"].push_back(choice);
  return result.dump();
}

std::string reply(const std::string& text, const Top& top, const std::string& finish = "stop") {
  return reply(text, std::vector<std::pair<std::string, Top>>{{text, top}}, finish);
}

TEST(YesNoChance, SumsOverSpellings) {
  const auto chance = yes_no_chance({{"Yes", std::log(0.5)},
                                     {" yes", std::log(0.1)},
                                     {"\u0120YES.", std::log(0.05)},
                                     {"No", std::log(0.2)},
                                     {"\u2581no", std::log(0.05)},
                                     {"Yesterday", std::log(0.06)},
                                     {"Not", std::log(0.01)}});
  EXPECT_NEAR(chance.yes, 0.65, 1e-9);
  EXPECT_NEAR(chance.no, 0.25, 1e-9);
  EXPECT_NEAR(chance.probability(), 0.65 / 0.9, 1e-9);
}

TEST(FirstToken, SkipsPlacesWithoutLetters) {
  const auto body = reply(
      "\n **Yes", std::vector<std::pair<std::string, Top>>{
                      {"\n", Top{{"\n", -0.1}}}, {" **", Top{{" **", -0.2}}}, {"Yes", Top{{"Yes", -0.3}}}});
  const auto first = first_token(body);
  ASSERT_EQ(first.chances.size(), 1u);
  EXPECT_EQ(first.chances[0].token, "Yes");
}

TEST(FirstToken, TheChosenTokenCountsOnce) {
  const auto listed = first_token(reply("Yes", Top{{"Yes", std::log(0.7)}, {"No", std::log(0.3)}}));
  ASSERT_EQ(listed.chances.size(), 2u);
  const std::string unlisted =
      R"({"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [{"token": "Yes", "logprob": -1.5,
          "top_logprobs": [{"token": "No", "logprob": -0.5}]}]}}]})";
  EXPECT_NEAR(yes_no_chance(first_token(unlisted).chances).yes, std::exp(-1.5), 1e-9);
}

TEST(FirstToken, ReadsTheOlderFormAndStreams) {
  const std::string older =
      R"({"choices": [{"message": {"content": "No"}, "logprobs": {"tokens": ["No"], "token_logprobs": [-0.2],
          "top_logprobs": [{"No": -0.2, " Yes": -1.8}]}}]})";
  EXPECT_NEAR(yes_no_chance(first_token(older).chances).no, std::exp(-0.2), 1e-9);
  const std::string stream =
      "data: {\"choices\": [{\"delta\": {\"content\": \"Yes\"}, \"logprobs\": {\"content\": [{\"token\": \"Yes\", "
      "\"logprob\": -0.1, \"top_logprobs\": [{\"token\": \"Yes\", \"logprob\": -0.1}]}]}}]}\n\n"
      "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"length\"}]}\n\ndata: [DONE]\n\n";
  const auto answer = read_judgement(AnswerForm::kProbability, stream);
  EXPECT_EQ(answer.fault, AnswerFault::kNone) << answer.detail;
  EXPECT_NEAR(std::exp(answer_record(answer.text).tokens.at(0).logprob), std::exp(-0.1), 1e-9);
}

TEST(FirstToken, WhatAreNoProbabilitiesIsNamed) {
  const auto fault = [](const std::string& body) { return first_token(body).fault; };
  EXPECT_EQ(fault(R"({"choices": [{"message": {"content": "Yes"}}]})"), AnswerFault::kNoProbabilities);
  EXPECT_EQ(fault(R"({"choices": [{"message": {"content": "Yes"}, "logprobs": null}]})"),
            AnswerFault::kNoProbabilities);
  EXPECT_EQ(fault(reply("Yes", Top{{"Yes", 0.7}})), AnswerFault::kBadProbabilities);
  EXPECT_EQ(fault(reply("Yes", Top{{"Yes", "-0.1"}})), AnswerFault::kBadProbabilities);
  EXPECT_EQ(fault(reply("Yes", Top{{"Yes", -0.1}, {"No", -0.1}})), AnswerFault::kBadProbabilities)
      << "more than 1 in all";
  EXPECT_EQ(fault(reply("Yes", Top{{"Yes", -0.1}, {"No", nullptr}})), AnswerFault::kNone);
  EXPECT_EQ(fault(std::string(200'000, '[')), AnswerFault::kNoProbabilities);
  std::string deep = R"({"choices": [{"logprobs": {"content": )" + std::string(100'000, '[');
  EXPECT_EQ(fault(deep + std::string(100'000, ']') + "}}]}"), AnswerFault::kNoProbabilities);
}

TEST(ReadJudgement, AYesOrNoByProbability) {
  const auto read = [](const std::string& body) { return read_judgement(AnswerForm::kProbability, body); };
  const auto cut = read(reply("Yes", Top{{"Yes", std::log(0.9)}, {"No", std::log(0.05)}}, "length"));
  EXPECT_EQ(cut.fault, AnswerFault::kNone) << "one token was asked for: " << cut.detail;
  EXPECT_EQ(cut.model, "eyes-1");
  const auto own = judged(AnswerForm::kProbability, answer_record(cut.text));
  EXPECT_EQ(own.label, "yes");
  EXPECT_NEAR(own.value, 0.9 / 0.95, 1e-9);
  EXPECT_NEAR(own.mass, 0.95, 1e-9);
  const auto unclear = read(reply("Perhaps", Top{{"Perhaps", std::log(0.9)}, {"No", std::log(0.05)}}));
  EXPECT_EQ(unclear.fault, AnswerFault::kNotYesNo);
  EXPECT_EQ(answer_record(unclear.text).text, "Perhaps") << "what came is on record";
  EXPECT_EQ(read(reply("No", Top{{"No", std::log(0.1)}, {"Yes", std::log(0.8)}})).fault,
            AnswerFault::kBadProbabilities)
      << "the text and the probabilities differ";
}

TEST(YesNoOf, TakesClearAnswersAlone) {
  for (const char* text : {"Yes", "yes.", "**Yes**", "Yes, there is no doubt.", "The answer is: yes",
                           R"({"answer": "Yes"})", R"(It is {"answer": true})"})
    EXPECT_EQ(yes_no_of(text), YesNo::kYes) << text;
  for (const char* text : {"No", "no, there is a dog instead", "There is no dog, so the answer is no.",
                           R"({"answer": "no", "explanation": "yes"})"})
    EXPECT_EQ(yes_no_of(text), YesNo::kNo) << text;
  for (const char* text : {"", "Perhaps", "Yes and no", "No, or yes: I cannot say", "I cannot say yes or no",
                           "There is no dog in this image", "Yesterday", R"({"answer": 3})"})
    EXPECT_FALSE(yes_no_of(text)) << text;
}

TEST(ScoreOf, TakesOneWholeNumber) {
  for (const char* text :
       {"4", " 4. ", R"({"score": 4, "explanation": "2 of 3"})", "Here: {\"score\": \"4\"}",
        R"({"score": 4.0})", "{\"score\": 4, \"explanation\": \"cut", "{\"score\":4} {\"score\": 4}"})
    EXPECT_EQ(score_of(text), 4) << text;
  for (const char* text : {"", "four", "4 or 5", R"({"score": 4.5})", R"({"score": 1e300})",
                           R"({"score": null})", R"({"score": 4} {"score": 5})", "99999999999999999999"})
    EXPECT_FALSE(score_of(text)) << text;
}

TEST(ReadJudgement, ScoresOfTheScaleWithoutThoughts) {
  const Scale scale = {{1, 10}, {4, 100}};
  const auto read = [&](const std::string& text) {
    return read_judgement(AnswerForm::kScore, json{{"choices", {{{"message", {{"content", text}}}}}}}.dump(),
                          scale);
  };
  const auto answer = read("<think>A 1?</think>\n```json\n{\"score\": 4}\n```");
  EXPECT_EQ(answer.fault, AnswerFault::kNone) << answer.detail;
  EXPECT_EQ(judged(AnswerForm::kScore, answer_record(answer.text), scale).value, 100);
  EXPECT_THAT(answer_record(answer.text).raw, HasSubstr("<think>"));
  EXPECT_EQ(read("{\"score\": 3}").fault, AnswerFault::kNoScore);
  EXPECT_EQ(read("I'm sorry, but I cannot help with that.").fault, AnswerFault::kRefusal);
  EXPECT_EQ(read("").fault, AnswerFault::kEmpty);
}

TEST(AnswerRecord, KeepsAnyText) {
  const AnswerRecord record{.text = "a \"b\"\n\u2028", .raw = "<x>", .tokens = {{"Yes", -0.25}}};
  const auto again = answer_record(to_json(record));
  EXPECT_EQ(again.text, record.text);
  EXPECT_EQ(again.raw, record.raw);
  EXPECT_EQ(again.tokens.at(0).logprob, -0.25);
  EXPECT_EQ(answer_record("nothing").text, "");
}

TEST(Endpoints, WithoutProbabilitiesAreToldFromThoseWithFew) {
  EXPECT_TRUE(refuses_logprobs("logprobs is not supported by this model"));
  EXPECT_TRUE(wants_few_logprobs("top_logprobs must be less than or equal to 5"));
  EXPECT_FALSE(refuses_logprobs("top_logprobs must be less than or equal to 5"));
  const auto body = request_body({.model = "m", .top_logprobs = 20}, "x", "");
  const auto few = with_few_logprobs(body);
  ASSERT_TRUE(few);
  EXPECT_EQ(json::parse(*few)["top_logprobs"], 5);
  EXPECT_FALSE(with_few_logprobs(*few));
  EXPECT_EQ(json::parse(*without_temperature(body)).count("temperature"), 0u);
  EXPECT_EQ(json::parse(*without_temperature(body))["top_logprobs"], 20);
}

TEST(RequestBody, HoldsAConversation) {
  const auto body = json::parse(request_body({.model = "m"}, {"what?", "a dog", "how good?"}, "\xFF"));
  ASSERT_EQ(body["messages"].size(), 3u);
  EXPECT_EQ(body["messages"][0]["content"][1]["text"], "what?");
  EXPECT_EQ(body["messages"][1]["role"], "assistant");
  EXPECT_EQ(body["messages"][2]["content"], "how good?");
}

}  // namespace
}  // namespace pixart::caption
