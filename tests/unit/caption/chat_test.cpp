#include "chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "chat_server.h"

namespace pixart::caption {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string with_message(const std::string& message, const std::string& finish = "stop") {
  return R"({"choices": [{"message": )" + message + R"(, "finish_reason": ")" + finish + R"("}]})";
}

AnswerFault fault_of(const std::string& body) { return parse_answer(body).fault; }

TEST(RequestBody, IsTheChatInterfaces) {
  const auto body = nlohmann::json::parse(
      request_body({.model = "m", .max_tokens = 5, .temperature = 0.5}, "what \"is\" it?", "\xFF\xD8\x01"));
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["max_tokens"], 5);
  EXPECT_EQ(body["temperature"], 0.5);
  ASSERT_EQ(body["messages"].size(), 1u);
  EXPECT_EQ(body["messages"][0]["role"], "user");
  const auto& content = body["messages"][0]["content"];
  ASSERT_EQ(content.size(), 2u);
  EXPECT_EQ(content[0]["type"], "image_url");
  EXPECT_EQ(content[0]["image_url"]["url"], "data:image/jpeg;base64,/9gB");
  EXPECT_EQ(content[1]["text"], "what \"is\" it?");
}

TEST(RequestBody, TakesAnyText) {
  EXPECT_THAT(request_body({.model = "m"}, "bad \xFF utf-8", ""), HasSubstr("bad \xEF\xBF\xBD utf-8"));
}

TEST(ParseAnswer, TakesCaptionModelAndTokens) {
  const auto answer = parse_answer(testing::chat_answer("  A red \\u00e9toile.\\n "));
  EXPECT_EQ(answer.fault, AnswerFault::kNone);
  EXPECT_EQ(answer.text, "A red \xC3\xA9toile.");
  EXPECT_EQ(answer.model, "eyes-1");
  EXPECT_EQ(answer.prompt_tokens, 7);
  EXPECT_EQ(answer.completion_tokens, 11);
}

TEST(ParseAnswer, OptionalPartsMayBeAbsentOrNull) {
  for (
      const char* body :
      {R"({"choices": [{"message": {"content": "a cat"}}]})",
       R"({"model": null, "usage": null, "choices": [{"message": {"content": "a cat", "refusal": null},
            "finish_reason": null}]})",
       R"({"usage": {"prompt_tokens": null}, "choices": [{"message": {"content": "a cat", "refusal": ""}}]})",
       R"({"choices": [{"message": {"content": [{"type": "text", "text": "a "}, {"type": "image"},
            {"type": "text", "text": "cat"}]}}]})"})
    EXPECT_EQ(parse_answer(body).text, "a cat") << body << parse_answer(body).detail;
}

TEST(ParseAnswer, WhatIsNoAnswer) {
  for (const char* body :
       {"", "<html>", "[]", "7", "{\"choices\": [", "{}", R"({"choices": {}})", R"({"choices": []})",
        R"({"choices": [7]})", R"({"choices": [{}]})", R"({"choices": [{"message": "x"}]})",
        R"({"choices": [{"message": null}]})", "{\"choices\": [{\"message\": {\"content\": \"\xFF\"}}]}"}) {
    EXPECT_EQ(fault_of(body), AnswerFault::kNotJson) << body;
    EXPECT_NE(parse_answer(body).detail, "") << body;
  }
  EXPECT_EQ(fault_of(std::string(1 << 20, '[')), AnswerFault::kNotJson);
}

TEST(ParseAnswer, WhatIsNoCaption) {
  EXPECT_EQ(fault_of(with_message(R"({"content": ""})")), AnswerFault::kEmpty);
  EXPECT_EQ(fault_of(with_message(R"({"content": " \n\t"})")), AnswerFault::kEmpty);
  EXPECT_EQ(fault_of(with_message(R"({"content": null})")), AnswerFault::kEmpty);
  EXPECT_EQ(fault_of(with_message(R"({"content": 7})")), AnswerFault::kEmpty);
  EXPECT_EQ(fault_of(with_message("{}")), AnswerFault::kEmpty);
  EXPECT_EQ(fault_of(with_message(R"({"content": "A long"})", "length")), AnswerFault::kTruncated);
  EXPECT_EQ(fault_of(with_message(R"({"content": ""})", "length")), AnswerFault::kTruncated);
  EXPECT_EQ(fault_of(with_message(R"({"content": "a cat"})", "content_filter")), AnswerFault::kRefusal);
  EXPECT_EQ(fault_of(with_message(R"({"content": null, "refusal": "No, thanks."})")), AnswerFault::kRefusal);
  EXPECT_EQ(fault_of(with_message(R"({"content": "a \u0000 cat"})")), AnswerFault::kBadText);
  EXPECT_EQ(fault_of(with_message(R"({"content": "a \u007f cat"})")), AnswerFault::kBadText);
  EXPECT_EQ(fault_of(with_message("{\"content\": \"" + std::string((1 << 20) + 1, 'a') + "\"}")),
            AnswerFault::kBadText);
  const auto refusal = parse_answer(with_message(R"({"content": "I\u2019m sorry, but I can't."})"));
  EXPECT_EQ(refusal.fault, AnswerFault::kRefusal);
  EXPECT_EQ(refusal.text, "");
  EXPECT_EQ(refusal.detail, "I\xE2\x80\x99m sorry, but I can't.");
}

TEST(ParseAnswer, DetailsAreOneShortLine) {
  const auto answer =
      parse_answer(with_message(R"({"refusal": "a\nb\u0007)" + std::string(150, 'x') + std::string(40, 'y') +
                                "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"}"));
  EXPECT_THAT(answer.detail, StartsWith("a b x"));
  EXPECT_EQ(answer.detail.size(), 200u);
}

TEST(ParseAnswer, ReasonsToFinish) {
  for (const char* cut : {"length", "max_tokens", "MAX_TOKENS", "model_length"})
    EXPECT_EQ(fault_of(with_message(R"({"content": "a cat"})", cut)), AnswerFault::kTruncated) << cut;
  for (const char* filter :
       {"content_filter", "SAFETY", "safety", "refusal", "sensitive", "PROHIBITED_CONTENT"})
    EXPECT_EQ(fault_of(with_message(R"({"content": "a cat"})", filter)), AnswerFault::kRefusal) << filter;
  for (const char* broken : {"error", "network_error", "abort"})
    EXPECT_EQ(fault_of(with_message(R"({"content": "a cat"})", broken)), AnswerFault::kNotJson) << broken;
  for (const char* good : {"stop", "STOP", "eos", "end_turn", ""})
    EXPECT_EQ(parse_answer(with_message(R"({"content": "a cat"})", good)).text, "a cat") << good;
}

TEST(ParseAnswer, ThoughtsInTheirOwnField) {
  for (const char* message :
       {R"({"content": "a cat", "reasoning_content": "I see"})",
        R"({"content": "a cat", "reasoning": "I see"})",
        R"({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I see"}]},
                        {"type": "text", "text": "a cat"}]})",
        R"({"content": [{"type": "reasoning", "text": "I see"}, {"type": "output_text", "text": "a cat"}]})",
        R"({"content": ["a ", "cat"]})", R"({"content": {"type": "text", "text": "a cat"}})"})
    EXPECT_EQ(parse_answer(with_message(message)).text, "a cat") << message;
  for (const char* message :
       {R"({"content": "", "reasoning_content": "I see"})", R"({"content": null, "reasoning": "I see"})",
        R"({"content": [{"type": "thinking", "thinking": "I see"}]})"}) {
    EXPECT_EQ(fault_of(with_message(message)), AnswerFault::kReasoning) << message;
    EXPECT_THAT(parse_answer(with_message(message, "length")).detail, HasSubstr("within its reasoning"));
  }
}

TEST(ParseAnswer, SaysWhatItRemoved) {
  const auto answer =
      parse_answer(with_message(R"({"content": "<think>I see</think>\n\nSure! a cat<|im_end|>"})"));
  EXPECT_EQ(answer.text, "A cat");
  EXPECT_THAT(answer.cleaned, ::testing::ElementsAre("reasoning", "token", "preamble"));
}

TEST(RequestBody, ChangesTheNameOfMaxTokensOnce) {
  const std::string body = request_body({.model = "m", .max_tokens = 5}, "say \"max_tokens\": 1", "");
  const auto changed = with_completion_tokens(body);
  ASSERT_TRUE(changed);
  const auto json = nlohmann::json::parse(*changed);
  EXPECT_EQ(json["max_completion_tokens"], 5);
  EXPECT_FALSE(json.contains("max_tokens"));
  EXPECT_EQ(json["messages"], nlohmann::json::parse(body)["messages"]);
  EXPECT_FALSE(with_completion_tokens(*changed));
}

TEST(RequestBody, StreamsOrHasNoTemperatureOnce) {
  const std::string body = request_body({.model = "m"}, R"(say ,"temperature":1,"stream":false)", "");
  for (const auto change : {as_stream, without_temperature}) {
    const auto changed = change(body);
    ASSERT_TRUE(changed);
    EXPECT_FALSE(change(*changed));
    const auto was = nlohmann::json::parse(body), is = nlohmann::json::parse(*changed);
    EXPECT_EQ(is["stream"], change == as_stream);
    EXPECT_EQ(is.contains("temperature"), change == as_stream);
    EXPECT_EQ(is["messages"], was["messages"]);
  }
}

TEST(AnswerFault, EachHasItsName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= int(AnswerFault::kLoop); ++i) names.insert(to_string(AnswerFault(i)));
  EXPECT_EQ(names.size(), size_t(AnswerFault::kLoop) + 1);
}

}  // namespace
}  // namespace pixart::caption
