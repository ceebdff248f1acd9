// pixart caption against a server of this test, killed, stopped and on a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
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

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kImages = 80;

// What an image meets is a function of its bytes, so that two runs end with the same captions: one fault at
// its first attempt, or an answer that is no caption at each.
ChatReply moody(const ChatRequest& request) {
  using Manner = ChatReply::Manner;
  switch (std::stoi(formats::sha256(request.body).substr(0, 2), nullptr, 16) % 16) {
    case 0:
      return {.body = chat_answer("I'm sorry, but I cannot describe this.")};
    case 1:
      return {.body = chat_answer("An image of", "length")};
    default:
      break;
  }
  if (request.attempt > 1) return {.body = chat_answer(caption_of(request))};
  switch (std::stoi(formats::sha256(request.body).substr(2, 2), nullptr, 16) % 10) {
    case 0:
      return {.status = 429, .body = "{}", .headers = {"Retry-After: 0"}};
    case 1:
      return {.status = 500, .body = "oops"};
    case 2:
      return {.body = "", .manner = Manner::kHang};
    case 3:
      return {.body = "", .manner = Manner::kReset};
    case 4:
      return {.body = chat_answer(caption_of(request)), .manner = Manner::kHalf};
    case 5:
      return {.body = R"({"choices": "none"})"};
    default:
      return {.body = chat_answer(caption_of(request))};
  }
}

ChatReply good(const ChatRequest& request) { return {.body = chat_answer(caption_of(request))}; }

class Caption : public ::testing::Test {
 protected:
  Caption() {
    ::setenv("OPENAI_API_KEY", key_.c_str(), 1);
    fs::create_directories(folder_ / "in");
    for (int i = 0; i < kImages; ++i) {
      formats::save_png(folder_ / "in" / fmt::format("{:03}.png", i), Image(8, 8, uint8_t(3 * i)));
      write_text(folder_ / "in" / fmt::format("{:03}.txt", i), "a grey square");
    }
  }
  ~Caption() override { ::unsetenv("OPENAI_API_KEY"); }

  static std::vector<std::string> arguments(const ChatServer& server, const std::string& out,
                                            const std::vector<std::string>& more = {}) {
    std::vector<std::string> result = {
        "caption", "in",          "--endpoint", server.endpoint(), "--model", "eyes",      "--out",
        out,       "--in-flight", "4",          "--first-pause",   "0.01",    "--timeout", "0.5"};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  ProcessResult run(const ChatServer& server, const std::string& out,
                    const std::vector<std::string>& more = {}, int64_t file_size_limit = -1) const {
    return run_pixart(arguments(server, out, more), folder_.path(), file_size_limit);
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Without the number of attempts, which a kill changes.
  std::vector<std::string> rejected(const std::string& out) const {
    std::vector<std::string> result;
    std::ifstream file(folder_ / out / "rejected.jsonl");
    for (std::string line; std::getline(file, line);) {
      auto row = nlohmann::json::parse(line);
      row.erase("attempts");
      result.push_back(row.dump());
    }
    return result;
  }

  const std::string key_ = "sk-0123456789abcdef";
  TemporaryFolder folder_;
};

TEST_F(Caption, SaysWhatItDidAndHowToUseIt) {
  ChatServer server(moody);
  const auto result = run(server, "out");
  ASSERT_EQ(result.code, 0) << result.output;
  const auto num_rejected = int(rejected("out").size());
  EXPECT_GE(num_rejected, 2);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr(fmt::format("{} of 80 images captioned; {} rejected: ", kImages - num_rejected,
                                          num_rejected)),
                    HasSubstr("0 open"), HasSubstr("tokens: "), HasSubstr("out/rejected.jsonl"),
                    HasSubstr("captions: [{name: long, from: out/captions.jsonl}]")));
  const int requests = server.num_requests();
  EXPECT_EQ(run(server, "out").code, 0);
  EXPECT_EQ(server.num_requests(), requests) << "a finished call asks for nothing";
  // Before and after, as in the paper's table.
  const auto stats = run_pixart(
      {"data", "stats", "in", "--set", "captions=[{name: caption}, {name: long, from: out/captions.jsonl}]"},
      folder_.path());
  EXPECT_EQ(stats.code, 0) << stats.output;
  EXPECT_THAT(stats.output, HasSubstr("long"));
}

TEST_F(Caption, FilesOfOthersStay) {
  ChatServer server(good);
  fs::create_directories(folder_ / "home/.tmp-work");
  write_text(folder_ / "home/.tmp-work/thesis.tex", "thesis");
  write_text(folder_ / "home/.tmp-captions.jsonl", "thesis");
  write_text(folder_ / "home/.tmp-captions.jsonl-0123456789abcdef", "half");
  const auto result = run(server, "home");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(read("home/.tmp-work/thesis.tex"), "thesis");
  EXPECT_EQ(read("home/.tmp-captions.jsonl"), "thesis");
  EXPECT_FALSE(fs::exists(folder_ / "home/.tmp-captions.jsonl-0123456789abcdef"));
  fs::create_directories(folder_ / "mine");
  write_text(folder_ / "mine/captions.jsonl", "my own captions");
  const auto refused = run(server, "mine");
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("mine/captions.jsonl was not written by `pixart caption`"));
  EXPECT_EQ(read("mine/captions.jsonl"), "my own captions");
}

// PIXART_CAPTION_KILLS: how many (20).
TEST_F(Caption, KillsDoNotChangeTheResult) {
  {
    ChatServer server(moody);
    ASSERT_EQ(run(server, "whole").code, 0);
  }
  const auto expect_the_same = [&] {
    EXPECT_EQ(read("killed/captions.jsonl"), read("whole/captions.jsonl"));
    EXPECT_EQ(rejected("killed"), rejected("whole"));
    EXPECT_GT(rejected("whole").size(), 0u);
  };
  const char* wanted = std::getenv("PIXART_CAPTION_KILLS");
  expect_kills_change_nothing(
      folder_,
      {.number = wanted == nullptr ? 20 : std::stoi(wanted), .most_requests = 12, .most_milliseconds = 30},
      moody, [](const ChatServer& server) { return arguments(server, "killed"); }, expect_the_same);
}

TEST_F(Caption, StopsOnRequestAndContinues) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string out = "out" + std::to_string(signal);
    std::atomic<int> answers = 0;
    ChatServer slow([&](const ChatRequest& request) {
      return answers++ < 10 ? good(request) : ChatReply{.body = "", .manner = ChatReply::Manner::kHang};
    });
    Process process(arguments(slow, out), folder_.path());
    ASSERT_TRUE(slow.wait_for_requests(14, 60));
    process.kill(signal);
    const auto stopped = process.wait();
    EXPECT_EQ(stopped.code, int(ExitCode::kRequeue)) << stopped.output;
    EXPECT_THAT(stopped.output, AllOf(HasSubstr("10 of 80 images captioned"), HasSubstr("70 open"),
                                      HasSubstr("same command continues")));
    const std::string captions = read(out + "/captions.jsonl");
    EXPECT_EQ(std::count(captions.begin(), captions.end(), '\n'), 10);
    ChatServer server(good);
    const auto result = run(server, out);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_EQ(server.num_requests(), 70);
  }
}

TEST_F(Caption, TheKeyAppearsNowhere) {
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    EXPECT_EQ(request.authorization, "Bearer " + key_);
    if (request.attempt == 1)
      return {.status = 500, .body = R"({"error": "no )" + request.authorization + "\"}"};
    return {.body = chat_answer("It says " + request.authorization)};
  });
  const auto result = run(server, "out", {"--limit", "5"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("HTTP 500, no Bearer [key]. Trying again."));
  ChatServer refusing(
      [](const ChatRequest& request) { return ChatReply{.status = 401, .body = request.authorization}; });
  const auto refused = run(refusing, "out");
  EXPECT_EQ(refused.code, int(ExitCode::kBadInput));
  EXPECT_THAT(refused.output, AllOf(HasSubstr("401"), HasSubstr("--key-env")));
  EXPECT_THAT(result.output + refused.output, Not(HasSubstr(key_)));
  for (const auto& name : files_below(folder_.path())) EXPECT_THAT(read(name), Not(HasSubstr(key_))) << name;
  EXPECT_THAT(read("out/captions.jsonl"), HasSubstr("It says Bearer [key]"));
  // Another variable; and none at all, for servers on this machine.
  ::setenv("OTHER_KEY", "sk-other-9876543210", 1);
  ChatServer other(good);
  EXPECT_EQ(run(other, "other", {"--key-env", "OTHER_KEY", "--limit", "1"}).code, 0);
  EXPECT_EQ(run(other, "none", {"--key-env", "NO_SUCH_KEY", "--limit", "1"}).code, 0);
  ::unsetenv("OTHER_KEY");
  ASSERT_EQ(other.num_requests(), 2);
  EXPECT_EQ(other.requests()[0].authorization, "Bearer sk-other-9876543210");
  EXPECT_EQ(other.requests()[1].authorization, "");
}

TEST_F(Caption, AnswersAreCleanedAndCounted) {
  ChatServer server([](const ChatRequest& request) {
    return ChatReply{
        .body =
            chat_answer("<think>\\nI see it.\\n</think>\\n\\nSure! Here's a description of the image:\\n\\n" +
                        caption_of(request) + "<|im_end|>")};
  });
  const auto result = run(server, "out", {"--limit", "4"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("removed from answers: 4 preamble, 4 reasoning, 4 token"));
  EXPECT_THAT(read("out/captions.jsonl"),
              AllOf(HasSubstr("\"caption\":\"An image of "), Not(HasSubstr("<"))));
  const auto refused = run(server, "strict", {"--limit", "4", "--reasoning", "reject"});
  EXPECT_EQ(refused.code, int(ExitCode::kBadInput)) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("reasoning parser"));
  const auto unknown = run(server, "strict", {"--reasoning", "keep"});
  EXPECT_EQ(unknown.code, int(ExitCode::kBadInput));
  EXPECT_THAT(unknown.output, HasSubstr("known are remove, reject"));
}

TEST_F(Caption, UsedUpCreditsStopAndTheSameCommandContinues) {
  std::atomic<int> seen = 0;
  ChatServer server([&](const ChatRequest& request) {
    return seen++ < 10 ? good(request)
                       : ChatReply{.body = R"({"error": {"message": "Insufficient credits", "code": 402}})"};
  });
  const auto stopped = run(server, "out");
  EXPECT_EQ(stopped.code, int(ExitCode::kBadInput)) << stopped.output;
  EXPECT_THAT(stopped.output, AllOf(HasSubstr("Insufficient credits"), HasSubstr("same command continues")));
  EXPECT_EQ(read("out/rejected.jsonl"), "");
  ChatServer paid(good);
  const auto result = run(paid, "out");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("80 of 80"));
}

TEST_F(Caption, AModelThatSeesNoImageIsSaid) {
  for (const char* text : {"I don't see any image in your message.", "What a lovely day."}) {
    ChatServer server([&](const ChatRequest&) { return ChatReply{.body = chat_answer(text)}; });
    const auto result = run(server, "out");
    EXPECT_EQ(result.code, int(ExitCode::kBadInput)) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_EQ(read("out/captions.jsonl") + read("out/rejected.jsonl"), "") << text;
  }
}

TEST_F(Caption, AFullDiskIsSaidAndTheSameCommandGoesOn) {
  ChatServer server(good);
  const auto full = run(server, "out", {}, 60'000);
  EXPECT_EQ(full.code, int(ExitCode::kStorage)) << full.output;
  EXPECT_THAT(full.output, HasSubstr("out"));
  const auto result = run(server, "out");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("80 of 80"));
}

TEST_F(Caption, BadInputIsExplained) {
  ChatServer server(good);
  const auto expect_bad = [&](const std::vector<std::string>& arguments, const std::string& text) {
    const auto result = run_pixart(arguments, folder_.path());
    EXPECT_EQ(result.code, int(ExitCode::kBadInput)) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
  };
  expect_bad({"caption", "in", "--model", "m"}, "--endpoint");
  expect_bad({"caption", "in", "--endpoint", "localhost", "--model", "m"}, "http://localhost:8080/v1");
  expect_bad({"caption", "none", "--endpoint", server.endpoint(), "--model", "m"}, "none does not exist");
  expect_bad({"caption", "in", "--endpoint", server.endpoint(), "--modle", "m"}, "--model");
  expect_bad({"caption", "in", "--endpoint", server.endpoint(), "--model", "m", "--prompt-file", "none.txt"},
             "none.txt");
  expect_bad({"caption", "in", "--endpoint", "http://10.255.255.1/v1", "--model", "m"}, "--insecure");
  expect_bad(arguments(server, "out", {"--prompt", "x", "--with-caption"}), "{caption}");
  EXPECT_EQ(server.num_requests(), 0);
  ASSERT_EQ(run(server, "out", {"--limit", "1"}).code, 0);
  expect_bad(arguments(server, "out", {"--prompt", "What is it?"}), "What is it?");
  const auto help = run_pixart({"caption", "--help"}, folder_.path());
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.output, AllOf(HasSubstr("llama-server"), HasSubstr("vllm"), HasSubstr("OPENAI_API_KEY")));
}

}  // namespace
}  // namespace pixart::testing
