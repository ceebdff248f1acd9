// pixart judge against a server of this test that gives probabilities, refuses, lies, stalls, forgets fields, streams
// and sends errors inside of 200; killed again and again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "chat_server.h"
#include "kills.h"
#include "pixart/base/error.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kJudged = 12;

// An answer with the probabilities of yes and no.
json answer_of(const std::string& text, double yes, double no) {
  const json top = {{{"token", "Yes"}, {"logprob", std::log(yes * 0.75)}},
                    {{"token", " yes"}, {"logprob", std::log(yes * 0.25)}},
                    {{"token", "No"}, {"logprob", std::log(no)}}};
  const json place = {
      {"token", text}, {"logprob", std::log(text == "No" ? no : yes * 0.75)}, {"top_logprobs", top}};
  return {{"model", "eyes-1"},
          {"choices",
           {{{"message", {{"role", "assistant"}, {"content", text}}},
             {"finish_reason", "length"},
             {"logprobs", {{"content", {place}}}}}}},
          {"usage", {{"prompt_tokens", 7}, {"completion_tokens", 1}}}};
}

// A function of the question alone: the bytes of an image depend on the library that writes it.
int byte_of(const ChatRequest& request, int number) {
  const std::string text = json::parse(request.body)["messages"][0]["content"][1]["text"];
  return std::stoi(formats::sha256(text).substr(size_t(2 * number), 2), nullptr, 16);
}

json right(const ChatRequest& request) {
  const double yes = (byte_of(request, 2) + 1) / 300.0;
  return answer_of(yes > 0.5 ? "Yes" : "No", yes, 0.98 - yes);
}

std::string streamed(const json& answer) {
  json event = answer;
  event["choices"][0]["delta"] = event["choices"][0]["message"];
  event["choices"][0].erase("message");
  return "data: " + event.dump() + "\n\ndata: [DONE]\n\n";
}

// What a question meets is a function of its request, so that two runs end with the same answers: one fault at its
// first attempt, or an answer that is none at each.
ChatReply moody_judge(const ChatRequest& request) {
  using Manner = ChatReply::Manner;
  switch (byte_of(request, 0) % 8) {
    case 0:
      return {
          .body =
              R"({"choices": [{"message": {"content": null, "refusal": "I must not judge \u001b[2J this"}}]})"};
    case 1:
      return {.body = answer_of("Yes", 0.04, 0.03).dump()};
    default:
      break;
  }
  json answer = right(request);
  if (request.attempt > 1) return {.body = answer.dump()};
  switch (byte_of(request, 1) % 14) {
    case 0:
      return {.status = 429, .body = "{}", .headers = {"Retry-After: 0"}};
    case 1:
      return {.body = R"({"error": {"message": "The server is overloaded", "code": 503}})"};
    case 2:
      return {.body = "", .manner = Manner::kHang};
    case 3:
      return {.body = answer.dump(), .manner = Manner::kHalf};
    case 4:
      answer["choices"][0].erase("logprobs");
      return {.body = answer.dump()};
    case 5:
      answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["logprob"] = 0.7;
      return {.body = answer.dump()};
    case 6:
      return {.body = answer_of("No", 0.9, 0.05).dump()};  // the text says another thing
    case 7:
    case 8:
      return {.body = streamed(answer)};
    default:
      return {.body = answer.dump()};
  }
}

ChatReply right_answer(const ChatRequest& request) { return {.body = right(request).dump()}; }

class Judge : public ::testing::Test {
 protected:
  Judge() {
    fs::create_directories(folder_ / "in");
    std::string questions;
    for (int i = 0; i < kJudged; ++i) {
      const std::string name = fmt::format("{:02}.png", i);
      formats::save_png(folder_ / "in" / name, Image(8, 8, uint8_t(20 * i)),
                        {{"prompt", "grey <b> \"x\" \x1b[31m"}});
      for (int k = 0; k < 4; ++k)
        questions += json{{"image", name},
                          {"id", k},
                          {"question", fmt::format("Is it {} of {}? \x1b[2J<script>alert(1)</script>", k, i)},
                          {"depends", k == 0 ? json::array() : json::array({k - 1})},
                          {"category", k < 2 ? "early" : "late"}}
                         .dump() +
                     "\n";
    }
    write_text(folder_ / "questions.jsonl", questions);
  }

  static std::vector<std::string> arguments(const ChatServer& server, const std::string& out,
                                            const std::vector<std::string>& more = {}) {
    std::vector<std::string> result = {"judge",         "in",
                                       "--protocol",    "questions",
                                       "--questions",   "questions.jsonl",
                                       "--endpoint",    server.endpoint(),
                                       "--model",       "eyes",
                                       "--out",         out,
                                       "--in-flight",   "4",
                                       "--first-pause", "0.01",
                                       "--timeout",     "1"};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  ProcessResult run(const ChatServer& server, const std::string& out,
                    const std::vector<std::string>& more = {}) const {
    return run_pixart(arguments(server, out, more), folder_.path());
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Without the number of attempts, which a kill changes.
  std::vector<json> answers(const std::string& out) const {
    std::vector<json> result;
    std::ifstream file(folder_ / out / "answers.jsonl");
    for (std::string line; std::getline(file, line);) {
      result.push_back(json::parse(line));
      for (auto& answer : result.back()["answers"]) answer.erase("attempts");
    }
    return result;
  }
  json summary(const std::string& out) const { return json::parse(read(out + "/summary.json")); }

  TemporaryFolder folder_;
};

TEST_F(Judge, EveryAnswerIsOnRecordAndFaultsAreNamed) {
  ChatServer server(moody_judge);
  const auto result = run(server, "out");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("12 images, 48 questions: "), HasSubstr("0 open"),
                    HasSubstr("judge-questions (model eyes-1), percent:"), HasSubstr("category: late")));
  const auto lines = answers("out");
  ASSERT_EQ(lines.size(), 48u);
  std::map<std::string, int> reasons;
  for (const auto& line : lines) {
    ASSERT_EQ(line["answers"].size(), 1u) << line;
    if (line["answer"].is_null()) {
      ++reasons[line["reason"]];
    } else {
      EXPECT_GE(line["mass"].get<double>(), 0.9) << line;
      EXPECT_EQ(line["answer"] == "yes", line["value"].get<double>() >= 0.5) << line;
      EXPECT_GE(line["answers"][0]["tokens"].size(), 3u) << line;
    }
  }
  EXPECT_GT(reasons["refusal"], 0);
  EXPECT_GT(reasons["not_yes_no"], 0);
  EXPECT_EQ(reasons.size(), 2u) << "other faults were mended by a second attempt: " << json(reasons);
  const json card = summary("out");
  EXPECT_EQ(card["name"], "judge-questions (model eyes-1)");
  EXPECT_EQ(card["counts"]["unanswered"], reasons["refusal"] + reasons["not_yes_no"]);
  EXPECT_EQ(card["protocol"]["answers"], "probabilities of the first token");
  EXPECT_GE(card["scores"]["score_highest"]["percent"], card["scores"]["score_lowest"]["percent"]);
  const int requests = server.num_requests();
  EXPECT_EQ(run(server, "out").code, 0);
  EXPECT_EQ(server.num_requests(), requests) << "a finished call asks for nothing";
  const auto other = run(server, "out", {"--instruction", "{question}?"});
  EXPECT_EQ(other.code, int(ExitCode::kBadInput));
  EXPECT_THAT(other.output, HasSubstr("instruction was"));
}

TEST_F(Judge, HostileTextsControlNeitherTerminalNorPage) {
  ChatServer server(moody_judge);
  const auto result = run(server, "out");
  ASSERT_EQ(result.code, 0) << result.output;
  const std::string page = read("out/index.html");
  for (const std::string& text : {result.output, page, read("out/answers.jsonl"), read("out/summary.json")})
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(page, AllOf(HasSubstr("Content-Security-Policy"), HasSubstr("&lt;script&gt;"),
                          Not(HasSubstr("<script")), HasSubstr("data:image/jpeg;base64,"),
                          HasSubstr("not a published metric")));
  // The prompt of an image that pixart sample drew is asked for as it is.
  ChatServer prompts(right_answer);
  EXPECT_EQ(run_pixart({"judge", "in", "--endpoint", prompts.endpoint(), "--model", "m", "--limit", "1"},
                       folder_.path())
                .code,
            0);
  ASSERT_EQ(prompts.num_requests(), 1);
  const auto sent = json::parse(prompts.requests()[0].body);
  EXPECT_EQ(sent["messages"][0]["content"][1]["text"],
            "Does this image show \"grey <b> \"x\" \x1b[31m\"? Answer with Yes or No.");
  EXPECT_EQ(sent["top_logprobs"], 20);
  EXPECT_EQ(sent["temperature"], 0.0);
}

TEST_F(Judge, KillsDoNotChangeTheResult) {
  {
    ChatServer server(moody_judge);
    ASSERT_EQ(run(server, "whole").code, 0);
  }
  const auto whole = answers("whole");
  const json scores = summary("whole")["scores"];
  expect_kills_change_nothing(
      folder_, {.most_requests = 6, .most_milliseconds = 20}, moody_judge,
      [](const ChatServer& server) { return arguments(server, "killed"); },
      [&] {
        EXPECT_EQ(answers("killed"), whole);
        EXPECT_EQ(summary("killed")["scores"], scores);
      });
}

TEST_F(Judge, FaultsOfAllRequestsEndTheCall) {
  const auto expect = [&](const ChatServer::Answer& answer, ExitCode code, const std::string& text) {
    ChatServer server(answer);
    const auto result = run(server, "stopped", {"--retries", "1"});
    EXPECT_EQ(result.code, int(code)) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_LT(server.num_requests(), 60);
    EXPECT_EQ(summary("stopped")["counts"]["unanswered"], 0) << "no image is blamed";
    fs::remove_all(folder_ / "stopped");
  };
  const auto plain = [](const ChatRequest&) { return ChatReply{.body = chat_answer("Yes")}; };
  expect(plain, ExitCode::kBadInput, "--samples K");
  expect(
      [](const ChatRequest&) {
        return ChatReply{.status = 400, .body = R"({"error": {"message": "logprobs is not supported"}})"};
      },
      ExitCode::kBadInput, "--samples K");
  expect([](const ChatRequest&) { return ChatReply{.status = 401, .body = "{}"}; }, ExitCode::kBadInput,
         "--key-env");
  expect([](const ChatRequest&) { return ChatReply{.body = "", .manner = ChatReply::Manner::kReset}; },
         ExitCode::kBadInput, "gave no answer");
  std::atomic<int> seen = 0;
  expect(
      [&](const ChatRequest& request) {
        return seen++ < 8 ? right_answer(request) : ChatReply{.status = 503, .body = "{}"};
      },
      ExitCode::kRequeue, "same command continues");
}

TEST_F(Judge, SamplesTakeThePlaceOfProbabilities) {
  ChatServer server([](const ChatRequest& request) {
    const int64_t seed = json::parse(request.body)["seed"];
    return ChatReply{.body = chat_answer(seed == 3 ? "Perhaps." : seed == 2 ? "No." : "Yes, it is.")};
  });
  const auto result = run(server, "out", {"--samples", "4", "--limit", "2"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("8 answered, 0 unanswered, 40 open"));
  EXPECT_EQ(server.num_requests(), 32);
  const auto first = answers("out").front();
  EXPECT_NEAR(first["value"].get<double>(), 2.0 / 3, 1e-9) << "of the clear ones";
  EXPECT_EQ(first["answers"][3]["reason"], "not_yes_no");
  EXPECT_EQ(json::parse(server.requests()[0].body)["temperature"], 1.0);
}

TEST_F(Judge, CompBenchAsksInTwoTurns) {
  fs::create_directories(folder_ / "bench/color");
  formats::save_png(folder_ / "bench/color" / "a red bus and a blue bowl_000042.png", Image(8, 8, 9));
  formats::save_png(folder_ / "bench/color" / "a red cat_000052.png", Image(8, 8, 99));
  write_text(folder_ / "phrases.jsonl",
             R"({"prompt": "a red bus and a blue bowl", "chunks": ["a red bus", "a blue bowl"]}
{"prompt": "a red cat", "chunks": ["a red cat"]})");
  ChatServer server([](const ChatRequest& request) {
    const json messages = json::parse(request.body)["messages"];
    if (messages.size() == 1) return ChatReply{.body = chat_answer("A red bus.")};
    EXPECT_EQ(messages[1]["content"], "A red bus.");
    const std::string question = messages[2]["content"];
    if (question.find("cat") != std::string::npos) return ChatReply{.body = chat_answer("Five of five")};
    return ChatReply{.body = chat_answer(question.find("bus") != std::string::npos ? R"({\"score\": 3})"
                                                                                   : R"({\"score\": 2})")};
  });
  const auto result = run_pixart({"judge", "bench", "--protocol", "compbench", "--phrases", "phrases.jsonl",
                                  "--endpoint", server.endpoint(), "--model", "m", "--out", "out"},
                                 folder_.path());
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(server.num_requests(), 5);
  EXPECT_NEAR(summary("out")["scores"]["score"]["percent"].get<double>(), 15, 1e-9);
  EXPECT_EQ(summary("out")["counts"]["unanswered_by_reason"]["no_score"], 1);
  EXPECT_EQ(summary("out")["name"], "judge-compbench (model eyes-1)");
  const auto agreement = run_pixart({"judge", "--agreement", "out", "out"}, folder_.path());
  EXPECT_EQ(agreement.code, 0);
  EXPECT_THAT(agreement.output, AllOf(HasSubstr("2 answers compared"), HasSubstr("Cohen's kappa: 1.000"),
                                      HasSubstr("kappa with quadratic weights: 1.000")));
}

TEST_F(Judge, DamagedImagesAndBadInputAreExplained) {
  ChatServer server(right_answer);
  write_text(folder_ / "in/03.png", "not an image");
  const auto result = run(server, "out");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(server.num_requests(), 44);
  EXPECT_THAT(result.output, HasSubstr("4 unanswered (4 "));
  const auto bad = run_pixart({"judge", "--protocol", "dpg"}, folder_.path());
  EXPECT_EQ(bad.code, int(ExitCode::kBadInput));
  EXPECT_THAT(bad.output, AllOf(HasSubstr("IMAGES"), HasSubstr("--endpoint"), HasSubstr("--model"),
                                HasSubstr("--questions"), HasSubstr("--parts")));
  write_text(folder_ / "questions.jsonl", R"({"image": "00.png", "question": "a?", "depends": ["b"]})");
  const auto unlinked = run(server, "new");
  EXPECT_EQ(unlinked.code, int(ExitCode::kBadInput));
  EXPECT_THAT(unlinked.output, HasSubstr("line 1 depends on the question b"));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

}  // namespace
}  // namespace pixart::testing
