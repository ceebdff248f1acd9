// A server that cuts, stalls, lies and refuses: either the right bytes come, or a reason.
#include "http_get.h"

#include <gmock/gmock.h>

#include "file_server.h"
#include "http_answer.h"
#include "pixart/base/env.h"

namespace pixart::data {
namespace {

using pixart::testing::ChatReply;
using pixart::testing::ChatRequest;
using pixart::testing::FileServer;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = HttpFault::Kind;
using Manner = ChatReply::Manner;

class HttpGet : public ::testing::Test {
 protected:
  HttpGet() {
    for (int i = 0; i < 100'000; ++i) content_ += char(i * 7 + i / 251);
    server_.put("a.tar", content_);
  }
  WebRequest request(const std::string& name = "a.tar") const { return request_for(server_.address(name)); }
  FileIdentity known() const { return {.bytes = content_.size(), .validator = "\"one\""}; }

  // Whether the right bytes come.
  bool reads(uint64_t offset = 100, uint64_t count = 50'000) const {
    std::string bytes(count, '\0');
    get_range(request(), known(), offset, count, bytes.data(), limits_);
    return bytes == content_.substr(offset, count);
  }
  HttpFault fault() const {
    try {
      reads();
    } catch (const HttpFault& fault) {
      return fault;
    }
    ADD_FAILURE() << "no fault";
    return {Kind::kNoAnswer, ""};
  }
  void spoil_first(int count, const std::function<void(ChatReply&)>& change) {
    server_.spoil([=](int number, const ChatRequest&, ChatReply& reply) {
      if (number <= count) change(reply);
    });
  }
  void spoil_all(const std::function<void(ChatReply&)>& change) { spoil_first(1 << 30, change); }

  HttpLimits limits_ = {.patience_seconds = 20,
                        .stall_seconds = 0.3,
                        .connect_seconds = 5,
                        .first_pause_seconds = 0.01,
                        .longest_pause_seconds = 0.02};
  std::string content_;
  FileServer server_;
};

TEST_F(HttpGet, PartsAndTheIdentity) {
  EXPECT_EQ(ask_identity(request(), limits_), known());
  EXPECT_TRUE(reads());
  EXPECT_TRUE(reads(0, 1));
  EXPECT_TRUE(reads(0, 100'000));
  EXPECT_TRUE(reads(99'999, 1));
  EXPECT_EQ(server_.ranges().back(), "bytes=99999-99999");
  server_.put("empty", "");
  EXPECT_EQ(ask_identity(request("empty"), limits_), FileIdentity{});
}

TEST_F(HttpGet, WhatPassesIsSurvived) {
  for (const Manner manner : {Manner::kHalf, Manner::kReset, Manner::kHang, Manner::kDrip}) {
    spoil_first(1, [&](ChatReply& reply) { reply.manner = manner; });
    EXPECT_TRUE(reads()) << int(manner);
  }
  for (const int status : {408, 425, 429, 500, 502, 503, 504}) {
    spoil_first(2, [&](ChatReply& reply) { reply = {.status = status, .body = "busy"}; });
    EXPECT_TRUE(reads()) << status;
  }
}

// A proxy may give a wrong answer once; three are too many.
TEST_F(HttpGet, AnswersThatAreNotTheQuestionAreNoticed) {
  const std::function<void(ChatReply&)> lies[] = {
      [](ChatReply& reply) { reply.headers[0] = "Content-Range: bytes 0-49999/100000"; },
      [](ChatReply& reply) { reply.headers[0] = "Content-Range: bytes 100-50098/100000"; },
      [](ChatReply& reply) { reply.headers[0] = "Content-Range: bytes 100-50099/200"; },
      [](ChatReply& reply) { reply.headers[0] = "Content-Range: nonsense"; },
      [](ChatReply& reply) { reply.headers.clear(); },
      [](ChatReply& reply) { reply.body += "more"; },
      [](ChatReply& reply) { reply.headers.push_back("Content-Encoding: gzip"); }};
  for (const auto& lie : lies) {
    spoil_first(2, lie);
    EXPECT_TRUE(reads());
    spoil_all(lie);
    EXPECT_EQ(fault().kind(), Kind::kUnusable);
  }
  spoil_first(3, [](ChatReply& reply) { reply.body.resize(10); });  // its length fits, the range does not
  EXPECT_TRUE(reads());
}

TEST_F(HttpGet, ASizeThatNoShardHasIsRefused) {
  for (const char* claim : {"4611686018427387904", "35184372088832"}) {
    spoil_all(
        [&](ChatReply& reply) { reply.headers[0] = fmt::format("Content-Range: bytes 0-0/{}", claim); });
    try {
      ask_identity(request(), limits_);
      ADD_FAILURE() << "not refused";
    } catch (const HttpFault& fault) {
      EXPECT_EQ(fault.kind(), Kind::kUnusable);
      EXPECT_THAT(fault.what(), HasSubstr(request().shown + ": the server says that the file has " + claim));
    }
  }
}

TEST_F(HttpGet, AWholeFileInPlaceOfAPartIsRefusedAtOnce) {
  spoil_all([&](ChatReply& reply) { reply = {.status = 200, .body = content_}; });
  EXPECT_EQ(fault().kind(), Kind::kUnusable);
  EXPECT_THAT(fault().what(), HasSubstr("range requests"));
  EXPECT_EQ(server_.num_requests(), 2);
}

TEST_F(HttpGet, AChangedFileIsNoticed) {
  server_.put("a.tar", content_, "\"two\"");
  EXPECT_EQ(fault().kind(), Kind::kChanged);
  EXPECT_THAT(fault().what(), HasSubstr("\"two\""));
  server_.put("a.tar", content_ + "x");
  EXPECT_THAT(fault().what(), HasSubstr("it had 100000 bytes and has 100001"));
  server_.put("a.tar", "short");
  EXPECT_THAT(fault().what(), HasSubstr("it has become shorter"));
  server_.put("a.tar", content_, "");
  EXPECT_EQ(fault().kind(), Kind::kChanged);
}

TEST_F(HttpGet, RefusalsAreFinal) {
  const std::tuple<int, Kind, const char*> cases[] = {
      {401, Kind::kRefused, "expired"},  {403, Kind::kRefused, "expired"},
      {404, Kind::kMissing, "HTTP 404"}, {410, Kind::kMissing, "HTTP 410"},
      {400, Kind::kRefused, "HTTP 400"}, {302, Kind::kRefused, "HTTP 302"}};
  for (const auto& [status, kind, word] : cases) {
    const int before = server_.num_requests();
    spoil_all([&, code = status](ChatReply& reply) { reply = {.status = code, .body = ""}; });
    const HttpFault found = fault();
    EXPECT_EQ(found.kind(), kind) << status;
    EXPECT_THAT(found.what(), HasSubstr(word));
    EXPECT_EQ(server_.num_requests(), before + 1);
  }
  spoil_all(
      [](ChatReply& reply) { reply = {.status = 403, .body = "<Error><Code>ExpiredToken</Code></Error>"}; });
  EXPECT_THAT(fault().what(), HasSubstr("HTTP 403 (ExpiredToken)"));
}

TEST_F(HttpGet, PatienceEnds) {
  limits_.patience_seconds = 0.2;
  spoil_all([](ChatReply& reply) { reply = {.status = 503, .body = "", .headers = {"Retry-After: 0"}}; });
  const HttpFault found = fault();
  EXPECT_EQ(found.kind(), Kind::kNoAnswer);
  EXPECT_THAT(found.what(), HasSubstr("HTTP 503"));
}

TEST_F(HttpGet, RetryAfterIsKept) {
  spoil_first(1,
              [](ChatReply& reply) { reply = {.status = 429, .body = "", .headers = {"Retry-After: 0.4"}}; });
  const double before = monotonic_seconds();
  EXPECT_TRUE(reads());
  EXPECT_GE(monotonic_seconds() - before, 0.4);
  spoil_all([](ChatReply& reply) { reply = {.status = 503, .body = "", .headers = {"Retry-After: 3600"}}; });
  const HttpFault found = fault();
  EXPECT_EQ(found.kind(), Kind::kComeLater);
  EXPECT_THAT(found.what(), HasSubstr("1 h 00 min"));
}

TEST_F(HttpGet, RedirectsAreFollowedOnlyToHttp) {
  server_.put("b.tar", content_);
  const auto redirect_to = [&](const std::string& target) {
    server_.spoil([=](int, const ChatRequest& request, ChatReply& reply) {
      if (request.path == "/a.tar") reply = {.status = 307, .body = "", .headers = {"Location: " + target}};
    });
  };
  redirect_to(server_.address("b.tar"));
  EXPECT_TRUE(reads());
  for (const std::string target : {"file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1:1/x"}) {
    redirect_to(target);
    EXPECT_EQ(fault().kind(), Kind::kRefused) << target;
  }
  redirect_to(server_.address("a.tar"));  // for ever
  EXPECT_EQ(fault().kind(), Kind::kRefused);
}

TEST_F(HttpGet, SignaturesAreNotInMessages) {
  const auto request = request_for(server_.address("none.tar?X-Amz-Signature=verysecret"));
  try {
    ask_identity(request, limits_);
    ADD_FAILURE() << "no fault";
  } catch (const HttpFault& fault) {
    EXPECT_THAT(fault.what(), HasSubstr("none.tar: HTTP 404"));
    EXPECT_THAT(fault.what(), Not(HasSubstr("verysecret")));
  }
}

TEST(HttpLimits, FollowThePatience) {
  const HttpLimits usual, same = http_limits(usual.patience_seconds);
  EXPECT_EQ(same.stall_seconds, usual.stall_seconds);
  EXPECT_EQ(same.connect_seconds, usual.connect_seconds);
  EXPECT_EQ(same.first_pause_seconds, usual.first_pause_seconds);
  EXPECT_EQ(same.longest_pause_seconds, usual.longest_pause_seconds);
  set_environment_variable("PIXART_HTTP_PATIENCE", "2");
  EXPECT_EQ(http_limits().patience_seconds, 2);
  EXPECT_EQ(http_limits().stall_seconds, 0.5);
  for (const char* wrong : {"soon", "0", "-1", "1 s", "nan"}) {
    set_environment_variable("PIXART_HTTP_PATIENCE", wrong);
    EXPECT_THROW(http_limits(), UserError) << wrong;
  }
  set_environment_variable("PIXART_HTTP_PATIENCE", "");
}

TEST(ContentRange, IsReadStrictly) {
  const auto range = parse_content_range("Bytes 5-9/100");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 100u);
  EXPECT_FALSE(parse_content_range("bytes 5-9/*")->total);
  for (const char* wrong : {"", "bytes", "bytes */10", "bytes 5-9", "bytes 9-5/10", "bytes 0-9/9",
                            "bytes -1-5/9", "bytes 0-9/10x", "bytes 0-99999999999999999999/5", "items 0-1/2"})
    EXPECT_FALSE(parse_content_range(wrong)) << wrong;
}

}  // namespace
}  // namespace pixart::data
