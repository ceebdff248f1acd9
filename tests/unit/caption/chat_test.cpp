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
  EXPECT_EQ(answer.caption, "A red \xC3\xA9toile.");
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
    EXPECT_EQ(parse_answer(body).caption, "a cat") << body << parse_answer(body).detail;
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
  EXPECT_EQ(refusal.caption, "");
  EXPECT_EQ(refusal.detail, "I\xE2\x80\x99m sorry, but I can't.");
}

TEST(ParseAnswer, DetailsAreOneShortLine) {
  const auto answer =
      parse_answer(with_message(R"({"refusal": "a\nb\u0007)" + std::string(150, 'x') + std::string(40, 'y') +
                                "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"}"));
  EXPECT_THAT(answer.detail, StartsWith("a b x"));
  EXPECT_EQ(answer.detail.size(), 200u);
}

TEST(Refusal, OpeningsAreRecognised) {
  for (const char* text :
       {"I'm sorry, but", "I AM SORRY", "I cannot help with that.", "I can\xE2\x80\x99t see", "As an AI, I",
        "As an AI language model", "Sorry, I", "Unfortunately, I am"})
    EXPECT_TRUE(is_refusal(text)) << text;
  for (const char* text :
       {"", "A man who says I'm sorry", "As an airplane rises", "The image shows a sign: I cannot",
        "Sorry-looking dogs", "Unfortunately placed bins"})
    EXPECT_FALSE(is_refusal(text)) << text;
}

TEST(ErrorMessage, IsFoundWhereItStands) {
  EXPECT_EQ(error_message(R"({"error": {"message": "too large"}})"), "too large");
  EXPECT_EQ(error_message(R"({"error": "too large"})"), "too large");
  EXPECT_EQ(error_message(R"({"message": "too large"})"), "too large");
  for (const char* none : {"", "oops", "[]", "{}", R"({"error": 7})", R"({"error": {"message": 7}})"})
    EXPECT_EQ(error_message(none), "") << none;
  EXPECT_LE(error_message("{\"error\": \"" + std::string(5000, 'x') + "\"}").size(), 200u);
}

TEST(AnswerFault, EachHasItsName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= int(AnswerFault::kNoAnswer); ++i) names.insert(to_string(AnswerFault(i)));
  EXPECT_EQ(names.size(), size_t(AnswerFault::kNoAnswer) + 1);
}

}  // namespace
}  // namespace pixart::caption
