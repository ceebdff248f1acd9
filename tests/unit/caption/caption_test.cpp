#include "pixart/caption/caption.h"

#include <nlohmann/json.hpp>

#include "chat_server.h"
#include "pixart/base/file_lock.h"
#include "pixart/formats/hash.h"
#include "prompt.h"
#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using pixart::testing::caption_of;
using pixart::testing::chat_answer;
using pixart::testing::ChatReply;
using pixart::testing::ChatRequest;
using pixart::testing::ChatServer;
using pixart::testing::refusal;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

ChatReply good(const ChatRequest& request) { return {.body = chat_answer(caption_of(request))}; }

class CaptionTest : public pixart::testing::ScratchFolder {
 protected:
  CaptionTest() { std::filesystem::create_directories(folder_ / "in"); }

  void image(int number) const {
    Image image(8, 8, uint8_t(10 * number));
    formats::save_png(folder_ / fmt::format("in/p{}.png", number), image);
  }
  void images(int count) const {
    for (int i = 0; i < count; ++i) image(i);
  }
  data::SourceConfig source() const {
    data::SourceConfig config;
    config.name = "some";
    config.path = folder_ / "in";
    config.missing_caption = data::MissingCaption::kEmpty;
    config.missing_caption_share = 1;
    return config;
  }
  CaptionOptions options(const ChatServer& server) const {
    CaptionOptions result;
    result.endpoint = server.endpoint();
    result.model = "eyes";
    result.out = folder_ / "out";
    result.client = {.url = "",
                     .key = "",
                     .in_flight = 4,
                     .retries = 2,
                     .timeout_seconds = 20,
                     .first_pause_seconds = 0.01,
                     .longest_pause_seconds = 0.02};
    return result;
  }
  CaptionReport run(const CaptionOptions& options) const {
    return caption(source(), *data::open_dataset(source()), options);
  }
  std::vector<nlohmann::json> lines(const std::string& name) const {
    std::ifstream file(folder_ / "out" / name);
    std::vector<nlohmann::json> result;
    for (std::string line; std::getline(file, line);) result.push_back(nlohmann::json::parse(line));
    return result;
  }
  std::vector<std::string> keys(const std::string& name) const {
    std::vector<std::string> result;
    for (const auto& line : lines(name)) result.push_back(line["key"]);
    return result;
  }
};

TEST_F(CaptionTest, WritesCaptionsInTheSourcesOrder) {
  images(20);
  ChatServer server(good);
  const auto report = run(options(server));
  EXPECT_EQ(report.listed, 20);
  EXPECT_EQ(report.captioned, 20);
  EXPECT_EQ(report.completion_tokens, 20 * 11);
  EXPECT_EQ(report.prompt_tokens, 20 * 7);
  EXPECT_EQ(describe(report), "20 of 20 images captioned; 0 rejected; 0 open");
  const auto dataset = data::open_dataset(source());
  const auto written = lines("captions.jsonl");
  ASSERT_EQ(written.size(), 20u);
  std::set<std::string> captions;
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(written[i]["key"], dataset->row(int64_t(i)).key);
    EXPECT_EQ(written[i]["model"], "eyes-1");
    EXPECT_EQ(written[i]["prompt_sha256"], formats::sha256(paper_prompt()));
    EXPECT_EQ(written[i]["prompt_tokens"], 7);
    EXPECT_EQ(written[i]["completion_tokens"], 11);
    captions.insert(written[i]["caption"]);
  }
  EXPECT_EQ(captions.size(), 20u);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/rejected.jsonl"));
  EXPECT_EQ(read(folder_ / "out/rejected.jsonl"), "");
  // The result is what a source joins.
  auto joined = source();
  joined.captions = {{.name = "long", .weight = 1, .column = "", .from = folder_ / "out/captions.jsonl"}};
  EXPECT_EQ(data::open_dataset(joined)->caption(3), written[3]["caption"]);
}

TEST_F(CaptionTest, NothingIsAskedTwice) {
  images(6);
  ChatServer server(good);
  auto first = options(server);
  first.limit = 4;
  EXPECT_EQ(run(first).open, 2);
  EXPECT_EQ(server.num_requests(), 4);
  EXPECT_EQ(run(options(server)).captioned, 6);
  EXPECT_EQ(server.num_requests(), 6);
  const std::string captions = read(folder_ / "out/captions.jsonl");
  EXPECT_EQ(run(options(server)).captioned, 6);
  EXPECT_EQ(server.num_requests(), 6);
  EXPECT_EQ(read(folder_ / "out/captions.jsonl"), captions);
}

TEST_F(CaptionTest, AnswersThatAreNoCaptionsAreRejectedWithTheReason) {
  images(6);
  std::atomic<int> images_seen = 0;
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    if (request.attempt > 1) return {.body = chat_answer(" ")};  // of the one that was empty before
    switch (images_seen++) {
      case 0:
        return {.body = chat_answer(" ")};
      case 1:
        return {.body = chat_answer("A long", "length")};
      case 2:
        return {.body = chat_answer("I cannot describe this.")};
      case 3:
        return {.body = chat_answer("x", "content_filter")};
      case 4:
        return {.status = 400, .body = R"({"error": {"message": "not this one"}})"};
      default:
        return good(request);
    }
  });
  auto one_by_one = options(server);
  one_by_one.client.in_flight = 1;
  const auto report = run(one_by_one);
  EXPECT_EQ(report.captioned, 1);
  EXPECT_EQ(report.rejected, 5);
  EXPECT_THAT(report.by_reason,
              ElementsAre(Pair("empty", 1), Pair("error", 1), Pair("refusal", 2), Pair("truncated", 1)));
  EXPECT_EQ(describe(report),
            "1 of 6 images captioned; 5 rejected: 1 empty, 1 error, 2 refusal, 1 truncated; 0 open");
  const auto rejected = lines("rejected.jsonl");
  ASSERT_EQ(rejected.size(), 5u);
  EXPECT_EQ(rejected[0]["key"], "p0.png");
  EXPECT_EQ(rejected[0]["attempts"], 2);  // an empty answer may be an accident
  EXPECT_EQ(rejected[1]["attempts"], 1);  // one that is too long is not
  EXPECT_EQ(rejected[4]["detail"], "HTTP 400, not this one");
  const int so_far = server.num_requests();
  run(options(server));
  EXPECT_EQ(server.num_requests(), so_far) << "rejected ones are not asked again";
  auto again = options(server);
  again.retry_rejected = true;
  EXPECT_EQ(run(again).rejected, 5);  // attempt > 1 gives empty answers
  EXPECT_GT(server.num_requests(), so_far);
}

TEST_F(CaptionTest, BadImagesAreNeverSent) {
  images(2);
  write("in/bad.png", "no image");
  write("in/none.jpg", "");
  const std::string png = read(folder_ / "in/p0.png");
  write("in/cut.png", png.substr(0, png.size() / 2));
  ChatServer server(good);
  const auto report = run(options(server));
  EXPECT_EQ(server.num_requests(), 2);
  EXPECT_EQ(report.captioned, 2);
  EXPECT_EQ(report.rejected, 3);
  EXPECT_THAT(keys("captions.jsonl"), ElementsAre("p0.png", "p1.png"));
  const auto rejected = lines("rejected.jsonl");
  ASSERT_EQ(rejected.size(), 3u);
  EXPECT_EQ(rejected[0]["reason"], "not_a_picture");
  EXPECT_EQ(rejected[1]["reason"], "damaged_picture");
  EXPECT_EQ(rejected[2]["reason"], "empty_file");
  for (const auto& line : rejected) EXPECT_EQ(line["attempts"], 0);
}

// A server that mishandles each image once, in another way each.
TEST_F(CaptionTest, ABadServerDoesNotChangeTheCaptions) {
  images(24);
  ChatServer plain(good);
  auto other = options(plain);
  run(other);
  const std::string wanted = read(folder_ / "out/captions.jsonl");
  std::filesystem::remove_all(folder_ / "out");
  std::atomic<int> seen = 0;
  ChatServer bad([&](const ChatRequest& request) -> ChatReply {
    using Manner = ChatReply::Manner;
    if (request.attempt > 1) return good(request);
    switch (seen++ % 8) {
      case 0:
        return {.status = 429, .body = "{}", .headers = {"Retry-After: 0"}};
      case 1:
        return {.status = 500, .body = "oops"};
      case 2:
        return {.body = "", .manner = Manner::kHang};
      case 3:
        return {.body = "", .manner = Manner::kReset};
      case 4:
        return {.body = good(request).body, .manner = Manner::kHalf};
      case 5:
        return {.body = R"({"choices": "none"})"};
      case 6:
        return {.status = 408, .body = ""};
      default:
        return {.body = "", .manner = Manner::kDrip};
    }
  });
  auto patient = options(bad);
  patient.client.timeout_seconds = 0.3;
  const auto report = run(patient);
  EXPECT_EQ(report.captioned, 24);
  EXPECT_EQ(read(folder_ / "out/captions.jsonl"), wanted);
}

TEST_F(CaptionTest, TheOwnCaptionIsPartOfThePrompt) {
  images(2);
  write("in/p0.txt", "a grey \"thing\"");
  ChatServer server(good);
  auto with_caption = options(server);
  with_caption.with_caption = true;
  with_caption.client.in_flight = 1;
  EXPECT_EQ(run(with_caption).captioned, 2);
  const auto text = [&](size_t i) {
    return nlohmann::json::parse(server.requests()[i].body)["messages"][0]["content"][1]["text"];
  };
  EXPECT_EQ(text(0), fill_prompt(paper_prompt_with_caption(), "a grey \"thing\""));
  EXPECT_EQ(text(1), paper_prompt());
  // Other captions are other questions.
  write("in/p0.txt", "a gray thing");
  EXPECT_THAT(refusal([&] { run(with_caption); }), HasSubstr("captions of the source"));
  with_caption.prompt = "own {caption}";
  EXPECT_THAT(refusal([&] { run(with_caption); }), HasSubstr("{caption}"));
}

TEST_F(CaptionTest, OtherSettingsNeedAnotherFolder) {
  images(2);
  ChatServer server(good);
  run(options(server));
  auto changed = options(server);
  changed.model = "other";
  changed.temperature = 0.7;
  changed.max_tokens = 9;
  changed.prompt = "What is it?";
  EXPECT_THAT(refusal([&] { run(changed); }),
              AllOf(HasSubstr("model was 'eyes' and is 'other' now"), HasSubstr("temperature"),
                    HasSubstr("max_tokens"), HasSubstr("What is it?")));
  EXPECT_EQ(server.num_requests(), 2);
  EXPECT_THAT(keys("captions.jsonl"), ElementsAre("p0.png", "p1.png")) << "left as it was";
}

TEST_F(CaptionTest, AChangedSourceHasToBeConfirmed) {
  images(3);
  ChatServer server(good);
  run(options(server));
  std::filesystem::remove(folder_ / "in/p1.png");
  image(7);
  EXPECT_THAT(refusal([&] { run(options(server)); }), HasSubstr("source"));
  auto confirmed = options(server);
  confirmed.changed_source = true;
  EXPECT_EQ(run(confirmed).captioned, 3);
  EXPECT_EQ(server.num_requests(), 4);
  EXPECT_THAT(keys("captions.jsonl"), ElementsAre("p0.png", "p2.png", "p7.png"));
  EXPECT_EQ(run(options(server)).captioned, 3);
}

// Nothing is held against the images, and what was there is written.
TEST_F(CaptionTest, AFailingEndpointLeavesImagesOpen) {
  images(12);
  std::atomic<bool> is_broken = false;
  std::atomic<int> answers = 0;
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    if (is_broken) return {.status = 500, .body = "down"};
    is_broken = ++answers == 5;
    return good(request);
  });
  auto slow = options(server);
  slow.client.in_flight = 1;
  try {
    run(slow);
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kRequeue);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("HTTP 500"), HasSubstr("same command continues")));
  }
  EXPECT_EQ(lines("captions.jsonl").size(), 5u);
  EXPECT_THAT(lines("rejected.jsonl"), IsEmpty());
  is_broken = false;
  answers = 100;
  const auto report = run(slow);
  EXPECT_EQ(report.captioned, 12);
  EXPECT_EQ(report.rejected, 0);
}

TEST_F(CaptionTest, AnEndpointThatTakesNoImagesIsSaid) {
  images(3);
  ChatServer server([](const ChatRequest&) {
    return ChatReply{.status = 400, .body = R"({"error": {"message": "image input is not supported"}})"};
  });
  EXPECT_THAT(refusal([&] { run(options(server)); }), HasSubstr("image input is not supported"));
  EXPECT_THAT(lines("rejected.jsonl"), IsEmpty());
  ChatServer page([](const ChatRequest&) { return ChatReply{.body = "<html>welcome</html>"}; });
  EXPECT_THAT(refusal([&] { run(options(page)); }), HasSubstr("not a JSON"));
  EXPECT_THAT(lines("rejected.jsonl"), IsEmpty());
}

TEST_F(CaptionTest, TheKeyIsInNoFileAndNoMessage) {
  const std::string key = "sk-0123456789abcdef";
  images(8);
  std::atomic<int> seen = 0;
  ChatServer server([&](const ChatRequest& request) -> ChatReply {
    const std::string echo = "your key is " + request.authorization;
    switch (seen++) {
      case 0:
        return {.status = 400, .body = R"({"error": {"message": ")" + echo + "\"}}"};
      case 1:
        return {.body = chat_answer(echo)};
      case 2:
        return {.body = chat_answer("I cannot: " + echo)};
      case 6:
        return {.status = 401, .body = echo};
      default:
        return good(request);
    }
  });
  auto with_key = options(server);
  with_key.client.key = key;
  with_key.client.in_flight = 1;
  EXPECT_THAT(refusal([&] { run(with_key); }), AllOf(HasSubstr("401"), Not(HasSubstr(key))));
  EXPECT_EQ(run(with_key).open, 0);
  EXPECT_EQ(server.requests().back().authorization, "Bearer " + key);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "out")) {
    ++files;
    EXPECT_THAT(read(entry.path()), Not(HasSubstr(key))) << entry.path();
  }
  EXPECT_GE(files, 3);
  with_key.endpoint = "http://10.255.255.1/v1";
  EXPECT_THAT(refusal([&] { run(with_key); }), AllOf(HasSubstr("--insecure"), Not(HasSubstr(key))));
}

TEST_F(CaptionTest, OneProcessAtATime) {
  images(1);
  std::filesystem::create_directories(folder_ / "out");
  const FileLock owner(folder_ / "out/.lock");
  ChatServer server(good);
  try {
    run(options(server));
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kFolderOwned);
  }
  EXPECT_EQ(server.num_requests(), 0);
}

}  // namespace
}  // namespace pixart::caption
