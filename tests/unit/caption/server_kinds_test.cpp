// caption() against servers whose faults concern one image, or all requests.
#include <atomic>
#include <nlohmann/json.hpp>

#include "chat_server.h"
#include "job_store.h"
#include "pixart/caption/caption.h"
#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using pixart::testing::caption_of;
using pixart::testing::chat_answer;
using pixart::testing::ChatReply;
using pixart::testing::ChatRequest;
using pixart::testing::ChatServer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ChatReply good_answer(const ChatRequest& request) { return {.body = chat_answer(caption_of(request))}; }

class ServerKinds : public pixart::testing::ScratchFolder {
 protected:
  ServerKinds() { std::filesystem::create_directories(folder_ / "in"); }

  void images(int count) const {
    for (int i = 0; i < count; ++i)
      formats::save_png(folder_ / fmt::format("in/p{:02}.png", i), Image(8, 8, uint8_t(10 * i)));
  }
  CaptionOptions options(const ChatServer& server) const {
    CaptionOptions result;
    result.endpoint = server.endpoint();
    result.model = "eyes";
    result.out = folder_ / "out";
    result.client = {.url = "",
                     .key = "",
                     .in_flight = 1,
                     .retries = 2,
                     .timeout_seconds = 20,
                     .first_pause_seconds = 0.01,
                     .longest_pause_seconds = 0.02};
    return result;
  }
  CaptionReport run(const CaptionOptions& options) const {
    data::SourceConfig config;
    config.name = "some";
    config.path = folder_ / "in";
    config.missing_caption = data::MissingCaption::kEmpty;
    config.missing_caption_share = 1;
    return caption(config, *data::open_dataset(config), options);
  }
  // The error that ends the call.
  std::string ends(const CaptionOptions& options, ExitCode code) const {
    try {
      run(options);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), Not(::testing::ContainsRegex("[.?!][.]( |$)"))) << "a sentence ends once";
      return error.what();
    }
    ADD_FAILURE() << "not ended";
    return "";
  }
  std::vector<nlohmann::json> lines(const std::string& name) const {
    std::ifstream file(folder_ / "out" / name);
    std::vector<nlohmann::json> result;
    for (std::string line; std::getline(file, line);) result.push_back(nlohmann::json::parse(line));
    return result;
  }
};

// Two answers, then the fault; after it has been mended, the same call ends the work.
TEST_F(ServerKinds, WhatConcernsAllRequestsBlamesNoImage) {
  const std::pair<ChatReply, const char*> faults[] = {
      {{.status = 402, .body = R"({"error": {"message": "Insufficient credits"}})"}, "Insufficient credits"},
      {{.body = R"({"error": {"message": "insufficient credits", "code": 402}})"}, "insufficient credits"},
      {{.status = 429, .body = R"({"error": {"type": "insufficient_quota", "message": "quota"}})"},
       "topping up"},
      {{.status = 403, .body = R"({"error": "no access"})"}, "no access"},
      {{.status = 405, .body = ""}, "--endpoint"},
      {{.status = 407, .body = ""}, "proxy"},
      {{.status = 410, .body = R"({"message": "gone"})"}, "gone"},
      {{.status = 400, .body = R"({"error": {"message": "model eyes does not exist"}})"}, "does not exist"},
      {{.status = 400, .body = R"({"error": {"message": "temperature: only 1 is supported."}})"},
       "supported. Give the --temperature"}};
  for (const auto& [fault, text] : faults) {
    std::filesystem::remove_all(folder_ / "out");
    images(6);
    std::atomic<int> seen = 0;
    ChatServer server(
        [&, fault = fault](const ChatRequest& request) { return seen++ < 2 ? good_answer(request) : fault; });
    EXPECT_THAT(ends(options(server), ExitCode::kBadInput), HasSubstr(text));
    EXPECT_EQ(lines("captions.jsonl").size(), 2u) << text;
    EXPECT_TRUE(lines("rejected.jsonl").empty()) << text;
    ChatServer mended(good_answer);
    EXPECT_EQ(run(options(mended)).captioned, 6) << text;
    EXPECT_EQ(mended.num_requests(), 4) << text;
  }
}

TEST_F(ServerKinds, WhatPassesIsTriedAgain) {
  images(4);
  for (const ChatReply& fault : std::initializer_list<ChatReply>{
           {.status = 424, .body = R"({"error": "the model is loading"})"},
           {.status = 498, .body = R"({"error": "flex tier capacity exceeded"})"},
           {.status = 409, .body = ""},
           {.status = 400, .body = R"({"error": "model is still loading"})"},
           {.body = R"({"error": {"message": "Rate limit exceeded", "code": 429}})"},
           {.body = R"({"error": {"message": "Provider returned error", "code": 502}})"},
           {.body = "data: {\"choices\": [{\"delta\": {\"content\": \"A\"}}]}\n\n"}}) {
    std::filesystem::remove_all(folder_ / "out");
    ChatServer server(
        [&](const ChatRequest& request) { return request.attempt == 1 ? fault : good_answer(request); });
    EXPECT_EQ(run(options(server)).captioned, 4) << fault.status << fault.body;
  }
}

TEST_F(ServerKinds, ALimitOfAllRequestsEndsTheCallUntilLater) {
  images(6);
  for (const auto& [fault, said] : std::initializer_list<std::pair<ChatReply, const char*>>{
           {{.body = R"({"error": {"message": "Rate limit exceeded.", "code": 429}})"},
            "HTTP 200 (meaning 429), Rate limit exceeded. The endpoint limits"},
           {{.status = 429, .body = R"({"error": {"message": "slow down"}})"},
            "HTTP 429, slow down. The endpoint limits"}}) {
    ChatServer server([&, fault = fault](const ChatRequest&) { return fault; });
    EXPECT_THAT(ends(options(server), ExitCode::kRequeue),
                AllOf(HasSubstr(said), HasSubstr("--in-flight"), Not(HasSubstr("Is the server running"))));
    EXPECT_EQ(server.num_requests(), 9);
    EXPECT_TRUE(lines("rejected.jsonl").empty());
  }
  ChatServer other([](const ChatRequest&) {
    return ChatReply{.body = R"({"error": {"message": "Provider returned error", "code": 502}})"};
  });
  EXPECT_THAT(ends(options(other), ExitCode::kBadInput),
              AllOf(HasSubstr("HTTP 200 (meaning 502), Provider returned error. Is the server")));
  ChatServer mended(good_answer);
  EXPECT_EQ(run(options(mended)).captioned, 6);
}

TEST_F(ServerKinds, AFilterRefusesOneImage) {
  images(6);
  const ChatReply faults[] = {
      {.status = 400, .body = R"({"error": {"code": "content_filter", "message": "filtered"}})"},
      {.status = 403, .body = R"({"error": {"message": "your input requires moderation"}})"},
      {.status = 413, .body = "<html><head><title>413 Too Large</title></head></html>"},
      {.status = 422, .body = R"({"detail": [{"loc": ["body", "image"], "msg": "bad image"}]})"}};
  std::atomic<size_t> seen = 0;
  ChatServer server([&](const ChatRequest& request) {
    const size_t i = seen++;
    return i < std::size(faults) ? faults[i] : good_answer(request);
  });
  EXPECT_EQ(run(options(server)).captioned, 2);
  const auto rejected = lines("rejected.jsonl");
  ASSERT_EQ(rejected.size(), 4u);
  EXPECT_EQ(rejected[0]["reason"], "refusal");
  EXPECT_EQ(rejected[1]["reason"], "refusal");
  EXPECT_EQ(rejected[2]["detail"], "HTTP 413, 413 Too Large");
  EXPECT_EQ(rejected[3]["detail"], "HTTP 422, bad image (image)");
}

TEST_F(ServerKinds, TheOtherNameOfMaxTokensIsUsed) {
  images(5);
  ChatServer server([](const ChatRequest& request) -> ChatReply {
    const auto body = nlohmann::json::parse(request.body);
    if (body.contains("max_tokens"))
      return {.status = 400,
              .body =
                  R"({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this )"
                  R"(model. Use 'max_completion_tokens' instead."}})"};
    EXPECT_EQ(body["max_completion_tokens"], 1024);
    return good_answer(request);
  });
  auto once = options(server);
  once.client.retries = 0;
  EXPECT_EQ(run(once).captioned, 5);
  EXPECT_EQ(server.num_requests(), 6) << "asked for once";
}

TEST_F(ServerKinds, AModelThatOnlyStreamsAndTakesNoTemperature) {
  images(5);
  ChatServer server([](const ChatRequest& request) -> ChatReply {
    const auto body = nlohmann::json::parse(request.body);
    if (body.contains("temperature"))
      return {.status = 400,
              .body = R"({"error": {"message": "`temperature` is deprecated for this model."}})"};
    if (body["stream"] == false)
      return {.status = 400, .body = R"({"error": {"message": "This model only support stream mode"}})"};
    return {.body = "data: {\"choices\": [{\"delta\": {\"content\": \"" + caption_of(request) +
                    "\"}}]}\n\ndata: [DONE]\n\n"};
  });
  EXPECT_THAT(ends(options(server), ExitCode::kBadInput), HasSubstr("--temperature"));
  auto once = options(server);
  once.temperature = 1;
  once.out = folder_ / "usual";
  once.client.retries = 0;
  const int before = server.num_requests();
  EXPECT_EQ(run(once).captioned, 5);
  EXPECT_EQ(server.num_requests() - before, 7) << "asked for each once";
}

TEST_F(ServerKinds, StreamsAndLeftoversBecomeCaptions) {
  images(4);
  std::atomic<int> seen = 0;
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    const std::string text = caption_of(request);
    switch (seen++) {
      case 0:
        return {.body = "data: {\"choices\": [{\"delta\": {\"content\": \"" + text +
                        "\"}}]}\n\ndata: [DONE]\n\n"};
      case 1:
        return {.body = chat_answer("<think>I see it.</think>" + text)};
      case 2:
        return {.body = chat_answer("Sure! " + text + "<|im_end|>")};
      default:
        return {.body = chat_answer(text)};
    }
  });
  const auto report = run(options(server));
  EXPECT_EQ(report.captioned, 4);
  EXPECT_EQ(describe_cleaned(report), "removed from answers: 1 preamble, 1 reasoning, 1 token");
  const auto captions = lines("captions.jsonl");
  for (const auto& line : captions)
    EXPECT_THAT(line["caption"].get<std::string>(),
                AllOf(::testing::StartsWith("An image of "), Not(HasSubstr("<"))));
  EXPECT_EQ(captions[1]["cleaned"], nlohmann::json::array({"reasoning"}));
  EXPECT_FALSE(captions[3].contains("cleaned"));
}

TEST_F(ServerKinds, ReasoningAloneOrNoImageEndsTheCall) {
  images(6);
  for (const char* text :
       {"<think>Let me see", "I don't see any image in your message.", "Please upload the image."}) {
    ChatServer server([&](const ChatRequest&) { return ChatReply{.body = chat_answer(text)}; });
    ends(options(server), ExitCode::kBadInput);
    EXPECT_TRUE(lines("rejected.jsonl").empty());
    EXPECT_TRUE(lines("captions.jsonl").empty());
  }
  ChatServer thinks([](const ChatRequest& request) {
    return ChatReply{.body = chat_answer("<think>a</think>" + caption_of(request))};
  });
  auto strict = options(thinks);
  strict.reasoning = Reasoning::kReject;
  EXPECT_THAT(ends(strict, ExitCode::kBadInput), HasSubstr("reasoning parser"));
  EXPECT_EQ(run(options(thinks)).captioned, 6);
}

TEST_F(ServerKinds, OneSentenceForAllImagesEndsTheCall) {
  images(12);
  ChatServer server([](const ChatRequest&) { return ChatReply{.body = chat_answer("A nice day.")}; });
  EXPECT_THAT(ends(options(server), ExitCode::kBadInput),
              AllOf(HasSubstr("8 different images"), HasSubstr("A nice day."), HasSubstr("--mmproj")));
  EXPECT_EQ(server.num_requests(), 8);
  EXPECT_TRUE(lines("captions.jsonl").empty());
  auto accepting = options(server);
  accepting.accept_same = true;
  EXPECT_EQ(run(accepting).captioned, 12);
}

TEST_F(ServerKinds, TheKeyIsMaskedInEachFormItComesBackIn) {
  images(6);
  const std::string key = "sk-abc/def+0123456789", escaped = R"(\u0073k-abc\/def+012345678\u0039)";
  std::atomic<int> seen = 0;
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    switch (seen++) {
      case 0:
        return {.body = chat_answer("It says " + escaped)};
      case 1:
        return {.body = R"({"model": ")" + escaped + R"(", "choices": [{"message": {"content": "a cat"}}]})"};
      case 2:
        return {.status = 400, .body = R"({"error": {"message": "invalid key )" + escaped + "\"}}"};
      case 3:  // in two events
        return {.body =
                    "data: {\"choices\": [{\"delta\": {\"content\": \"See sk-abc/d\"}}]}\n\n"
                    "data: {\"choices\": [{\"delta\": {\"content\": \"ef+0123456789\"}}]}\n\ndata: [DONE]\n"};
      case 4:
        return good_answer(request);
      default:
        return {.status = 401, .body = R"({"error": "wrong: )" + escaped + "\"}"};
    }
  });
  auto with_key = options(server);
  with_key.client.key = key;
  EXPECT_THAT(ends(with_key, ExitCode::kBadInput), AllOf(HasSubstr("wrong: [key]"), Not(HasSubstr(key))));
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "out")) all += read(entry.path());
  EXPECT_THAT(all, AllOf(Not(HasSubstr(key)), Not(HasSubstr("abc\\/def")), HasSubstr("It says [key]"),
                         HasSubstr("invalid key [key]"), HasSubstr("See [key]")));
}

TEST_F(ServerKinds, AMissingCertificateFileIsSaid) {
  images(1);
  ChatServer server(good_answer);
  auto other = options(server);
  other.client.ca_file = folder_ / "none.pem";
  EXPECT_THAT(ends(other, ExitCode::kBadInput), HasSubstr("none.pem"));
  EXPECT_EQ(server.num_requests(), 0);
}

}  // namespace
}  // namespace pixart::caption
