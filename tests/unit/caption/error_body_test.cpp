#include "error_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat.h"
#include "event_stream.h"

namespace pixart::caption {
namespace {

TEST(ErrorBody, TheMessageIsFoundInEachForm) {
  for (const char* body :
       {R"({"error": {"message": "too large"}})",
        R"({"error": "too large"})",
        R"({"message": "too large"})",
        R"({"detail": "too large"})",
        R"({"detail": [{"loc": [], "msg": "too large", "type": "x"}]})",
        R"({"detail": {"error": "too large"}})",
        R"({"errors": [{"message": "too large"}]})",
        R"({"errors": ["too large"]})",
        R"([{"error": {"code": 400, "message": "too large"}}])",
        R"({"object": "error", "message": "too large", "code": 400})",
        R"({"error": true, "message": "too large"})",
        R"({"error": {"error": {"message": "too large"}}})",
        R"({"error": {"msg": "too large"}})",
        R"({"fault": {"faultstring": "too large"}})",
        R"({"Message": "too large"})",
        R"({"msg": "too large"})",
        R"({"base_resp": {"status_code": 1004, "status_msg": "too large"}})",
        R"({"title": "too large", "status": 400})",
        R"({"error_message": "too large"})",
        R"({"error": null, "message": "too large"})",
        R"({"choices": [{"error": {"message": "too large", "code": 502}, "message": {"content": ""}}]})",
        "<html><head><title>too large</title></head><body>x</body></html>",
        "<h1>too large</h1>",
        "too large",
        "data: {\"error\": {\"message\": \"too large\"}}\n\n",
        R"("too large")"})
    EXPECT_EQ(error_of(body).message, "too large") << body;
  EXPECT_EQ(error_of(R"({"detail": [{"loc": [)" + std::string(100'000, '[') + std::string(100'000, ']') +
                     R"(], "msg": "field required"}]})")
                .message,
            "field required (array)");
  EXPECT_EQ(error_of(R"({"detail": [{"loc": ["body", "model"], "msg": "field required"}]})").message,
            "field required (model)");
}

TEST(ErrorBody, WhereThereIsNone) {
  for (const char* none : {"", "[]", "{}", R"({"error": 7})", R"({"error": {"message": 7}})", "{\"cut", "7",
                           R"({"choices": [{"message": {"content": "error"}}]})"})
    EXPECT_EQ(error_of(none).message, "") << none;
  EXPECT_LE(error_of("{\"error\": \"" + std::string(5000, 'x') + "\"}").message.size(), 200u);
}

TEST(MeantStatus, OfErrorsInAnAnswerWith200) {
  const std::pair<const char*, long> cases[] = {
      {R"({"error": {"message": "Rate limit exceeded: free-models-per-min", "code": 429}})", 429},
      {R"({"error": {"message": "insufficient credits", "code": 402}})", 402},
      {R"({"error": {"message": "Provider returned error", "code": 502}})", 502},
      {R"({"error": {"message": "x", "code": "429"}})", 429},
      {R"({"error": {"message": "x", "type": "insufficient_quota"}})", 402},
      {R"({"error": {"message": "x", "status": "RESOURCE_EXHAUSTED"}})", 429},
      {R"({"error": "model overloaded"})", 503},
      {R"({"error": "Invalid API key"})", 401},
      {R"({"error": {"message": "x", "code": "model_not_found"}})", 404},
      {R"({"error": "the model 'm' does not exist"})", 404},
      {R"({"code": "Throttling.RateQuota", "message": "Requests throttled"})", 429},
      {R"({"code": "Arrearage", "message": "Access denied"})", 402},
      {R"({"object": "error", "message": "bad image", "code": 400})", 400},
      {R"({"error": "bad image"})", 400},
      {R"({"detail": "Internal Server Error"})", 503},
      {R"({"choices": [{"error": {"message": "upstream", "code": 503}, "finish_reason": "error"}]})", 503},
      {"data: {\"error\": {\"message\": \"slow down\", \"code\": 429}}\n\n", 429},
      {R"([{"error": {"code": 503, "message": "The model is overloaded."}}])", 503},
      {R"({"error": "Request timed out"})", 503},
      {R"({"error": {"message": "blocked", "code": "content_filter"}})", 451},
      {R"({"choices": [{"message": {"content": "error: rate limit"}}]})", 200},
      {"<html>rate limit</html>", 200},
      {R"({"choices": "none"})", 200},
      {"{}", 200},
  };
  for (const auto& [body, status] : cases) EXPECT_EQ(meant_status(200, body), status) << body;
}

TEST(MeantStatus, OfOtherStatuses) {
  struct Case {
    long status;
    const char* body;
    long meant;
  };
  const Case cases[] = {
      {429, R"({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}})",
       402},
      {400, R"({"error": {"message": "Your credit balance is too low"}})", 402},
      {403, R"({"error": {"message": "insufficient balance"}})", 402},
      {403, R"({"error": {"message": "your input requires moderation"}})", 451},
      {400, R"({"error": {"code": "content_filter", "message": "The response was filtered"}})", 451},
      {400, R"({"error": {"code": "data_inspection_failed", "message": "x"}})", 451},
      {400, R"({"error": {"code": "content_policy_violation", "message": "x"}})", 451},
      {400, R"({"error": "model m not found"})", 404},
      {400, R"({"error": "the model is loading"})", 503},
      {424, R"({"error": "the model is loading"})", 503},
      {424, "{}", 424},
      {429, "slow down", 429},
      {400, R"({"error": "rate of change"})", 400},
      {413, "too large", 413},
      {422, R"({"detail": [{"msg": "field required"}]})", 422},
      {498, R"({"error": "flex tier capacity exceeded"})", 498},
      {500, R"({"error": "billing"})", 500},
      {302, "billing", 302},
      {0, "", 0},
      {402, R"({"error": {"message": "Insufficient credits"}})", 402},
      {200, R"({"error": "credits exhausted", "object": "error"})", 402},
  };
  for (const auto& [status, body, meant] : cases)
    EXPECT_EQ(meant_status(status, body), meant) << status << body;
}

TEST(ErrorBody, NamesOfParameters) {
  EXPECT_TRUE(
      wants_completion_tokens("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                              "'max_completion_tokens' instead."));
  EXPECT_TRUE(wants_completion_tokens("Extra inputs are not permitted (max_tokens)"));
  EXPECT_TRUE(wants_completion_tokens("Unrecognized request argument supplied: max_tokens"));
  EXPECT_FALSE(wants_completion_tokens("max_tokens is too large: 1024"));
  EXPECT_FALSE(wants_completion_tokens("image too large"));
  EXPECT_TRUE(refuses_temperature("Unsupported value: 'temperature' does not support 0.2 with this model."));
  EXPECT_FALSE(refuses_temperature("the temperature of the image is too low"));
  EXPECT_TRUE(wants_stream("This model only support stream mode, please enable the stream parameter."));
  EXPECT_TRUE(wants_stream("stream must be true"));
  EXPECT_FALSE(wants_stream("streaming is not supported"));
  EXPECT_FALSE(wants_stream("stream must be set to false"));
}

TEST(EventStream, IsJoined) {
  const std::string events =
      ": hello\n\nevent: message\r\n"
      R"(data: {"model": "m", "choices": [{"delta": {"role": "assistant"}}]})"
      "\r\n"
      R"(data: {"choices": [{"delta": {"content": "A red "}}]})"
      "\n\n"
      R"(data:{"choices": [{"delta": {"content": [{"type": "text", "text": "ball"}]}, "finish_reason": "stop"}]})"
      "\n\n"
      R"(data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})"
      "\n\n";
  for (const char* end : {"", "data: [DONE]\n\n", "data: [DONE]"}) {
    const auto answer = parse_answer(events + end);
    EXPECT_EQ(answer.text, "A red ball") << answer.detail;
    EXPECT_EQ(answer.model, "m");
    EXPECT_EQ(answer.prompt_tokens, 3);
    EXPECT_EQ(answer.completion_tokens, 4);
  }
  const auto cut = parse_answer("data: {\"choices\": [{\"delta\": {\"content\": \"A red \"}}]}\n\n");
  EXPECT_EQ(cut.fault, AnswerFault::kNotJson);
  EXPECT_THAT(cut.detail, ::testing::HasSubstr("ended early"));
  EXPECT_FALSE(is_event_stream("{\"data\": 1}"));
  EXPECT_FALSE(is_event_stream(""));
}

}  // namespace
}  // namespace pixart::caption
