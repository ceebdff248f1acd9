#include "pixart/caption/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>

#include "chat_server.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::caption {
namespace {

using pixart::testing::ChatReply;
using pixart::testing::ChatRequest;
using pixart::testing::ChatServer;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Manner = ChatReply::Manner;

ClientOptions options_for(const ChatServer& server) {
  return {.url = server.endpoint() + "/chat/completions",
          .key = "",
          .in_flight = 4,
          .retries = 3,
          .timeout_seconds = 30,
          .first_pause_seconds = 0.01,
          .longest_pause_seconds = 0.05};
}

// Sends `count` requests with the bodies "0", "1", ...; their replies.
std::map<int64_t, Reply> replies_to(const ClientOptions& options, int64_t count) {
  std::map<int64_t, Reply> replies;
  int64_t next = 0;
  send_all(options, {.next = [&]() -> std::optional<Request> {
                       if (next == count) return std::nullopt;
                       const int64_t number = next++;
                       return Request{number, std::to_string(number)};
                     },
                     .done =
                         [&](int64_t number, const Reply& reply) {
                           EXPECT_TRUE(replies.emplace(number, reply).second);
                           return false;
                         },
                     .stop = [] { return false; }});
  return replies;
}

Reply reply_to(const ClientOptions& options) { return replies_to(options, 1).at(0); }

// Misbehaves at the first attempt of each request.
ChatServer::Answer at_first(ChatReply bad) {
  return [bad](const ChatRequest& request) {
    return request.attempt == 1 ? bad : ChatReply{.body = "good " + request.body};
  };
}

std::string refusal(const ClientOptions& options, ExitCode code = ExitCode::kBadInput) {
  try {
    replies_to(options, 10);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(Client, EachRequestGetsItsReply) {
  ChatServer server([](const ChatRequest& request) { return ChatReply{.body = "for " + request.body}; });
  const auto replies = replies_to(options_for(server), 100);
  ASSERT_EQ(replies.size(), 100u);
  for (const auto& [number, reply] : replies) {
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "for " + std::to_string(number));
    EXPECT_EQ(reply.attempts, 1);
  }
  EXPECT_EQ(server.num_requests(), 100);
  EXPECT_EQ(server.requests().front().path, "/v1/chat/completions");
  EXPECT_EQ(server.requests().front().authorization, "");
  EXPECT_TRUE(replies_to(options_for(server), 0).empty());
}

// Each answer waits until as many requests are there as are allowed; more must not come.
TEST(Client, KeepsSoManyInFlight) {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0, open_until = 0;
  ChatServer server([&](const ChatRequest&) {
    std::unique_lock lock(mutex);
    if (++waiting % 4 == 0) open_until = waiting;
    changed.notify_all();
    const int ticket = waiting;
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return open_until >= ticket; }));
    return ChatReply{.body = "good"};
  });
  EXPECT_EQ(replies_to(options_for(server), 40).size(), 40u);
  EXPECT_EQ(server.most_at_once(), 4);
}

TEST(Client, TemporaryFaultsAreTriedAgain) {
  const std::vector<std::pair<std::string, ChatReply>> faults = {
      {"408", {.status = 408, .body = ""}},
      {"429", {.status = 429, .body = "{}", .headers = {"Retry-After: 0"}}},
      {"500", {.status = 500, .body = "oops"}},
      {"503", {.status = 503, .body = ""}},
      {"half an answer", {.body = "0123456789", .manner = Manner::kHalf}},
      {"reset", {.body = "", .manner = Manner::kReset}},
      {"too large", {.body = std::string(9 << 20, 'x')}}};
  for (const auto& [name, fault] : faults) {
    ChatServer server(at_first(fault));
    const auto replies = replies_to(options_for(server), 6);
    ASSERT_EQ(replies.size(), 6u) << name;
    for (const auto& [number, reply] : replies) {
      EXPECT_EQ(reply.body, "good " + std::to_string(number)) << name;
      // libcurl itself replaces a kept connection that turns out to be closed.
      EXPECT_TRUE(reply.attempts == 2 || (name == "reset" && reply.attempts == 1)) << name;
    }
  }
}

TEST(Client, HangsAndDripsEndWithTheTime) {
  for (const Manner manner : {Manner::kHang, Manner::kDrip}) {
    ChatServer server(at_first({.body = "", .manner = manner}));
    auto options = options_for(server);
    options.timeout_seconds = 0.2;
    const auto replies = replies_to(options, 4);
    ASSERT_EQ(replies.size(), 4u);
    for (const auto& [number, reply] : replies) EXPECT_EQ(reply.body, "good " + std::to_string(number));
  }
}

TEST(Client, GivesUpAfterTheRetriesWithTheReason) {
  ChatServer failing([](const ChatRequest&) { return ChatReply{.status = 500, .body = "oops"}; });
  const auto failed = reply_to(options_for(failing));
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(failed.body, "oops");
  EXPECT_EQ(failed.attempts, 4);
  EXPECT_EQ(failing.num_requests(), 4);
  ChatServer hanging([](const ChatRequest&) { return ChatReply{.body = "", .manner = Manner::kHang}; });
  auto options = options_for(hanging);
  options.timeout_seconds = 0.1;
  options.retries = 1;
  const auto silent = reply_to(options);
  EXPECT_EQ(silent.status, 0);
  EXPECT_EQ(silent.attempts, 2);
  EXPECT_THAT(silent.fault, HasSubstr("Timeout"));
  EXPECT_EQ(silent.body, "");
}

TEST(Client, NobodyThere) {
  ClientOptions options;
  {
    ChatServer server([](const ChatRequest&) { return ChatReply{.body = ""}; });
    options = options_for(server);
  }
  const auto reply = reply_to(options);
  EXPECT_EQ(reply.status, 0);
  EXPECT_NE(reply.fault, "");
  EXPECT_EQ(reply.attempts, 4);
}

TEST(Client, OtherFaultsAreTheCallersMatter) {
  ChatServer server([](const ChatRequest&) { return ChatReply{.status = 413, .body = "large"}; });
  const auto reply = reply_to(options_for(server));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.body, "large");
  EXPECT_EQ(reply.attempts, 1);
}

TEST(Client, TheCallerMayAskAgainAsLongAsAttemptsAreLeft) {
  ChatServer server([](const ChatRequest&) { return ChatReply{.body = "empty"}; });
  int calls = 0;
  bool is_given = false;
  send_all(options_for(server), {.next = [&]() -> std::optional<Request> {
                                   if (std::exchange(is_given, true)) return std::nullopt;
                                   return Request{7, "body"};
                                 },
                                 .done =
                                     [&](int64_t number, const Reply& reply) {
                                       EXPECT_EQ(number, 7);
                                       EXPECT_EQ(reply.attempts, ++calls);
                                       return true;
                                     },
                                 .stop = [] { return false; }});
  EXPECT_EQ(calls, 4);
}

// Everything waits, not only the request that was answered so.
TEST(Client, RetryAfterIsHonoured) {
  const std::string date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
  const std::vector<std::pair<double, std::vector<std::string>>> answers = {
      {0.3, {"Retry-After: 0.3"}},
      {1, {"retry-after:1"}},
      {1, {date, "Retry-After: Sun, 06 Nov 1994 08:49:38 GMT"}}};
  for (const auto& [seconds, headers] : answers) {
    for (const int64_t retries : {0, 1}) {
      if (retries == 0 && seconds == 1) continue;  // takes its time, and shows nothing new
      double asked = 0, next = 0;                  // one request at a time
      ChatServer server([&, headers = headers](const ChatRequest& request) {
        if (asked == 0) {
          asked = monotonic_seconds();
          return ChatReply{.status = 429, .body = "{}", .headers = headers};
        }
        if (next == 0) next = monotonic_seconds();
        return ChatReply{.body = request.body};
      });
      auto options = options_for(server);
      options.in_flight = 1;
      options.retries = retries;
      EXPECT_EQ(replies_to(options, 2).at(0).status, retries == 0 ? 429 : 200);
      EXPECT_GE(next - asked, seconds - 0.01) << headers.back();
    }
  }
}

TEST(Client, WhoeverAsksForTooLongAWaitIsLeft) {
  ChatServer server([](const ChatRequest&) {
    return ChatReply{.status = 429, .body = "{}", .headers = {"Retry-After: 7200"}};
  });
  EXPECT_THAT(refusal(options_for(server), ExitCode::kRequeue),
              AllOf(HasSubstr("429"), HasSubstr("2 h"), HasSubstr("same command continues")));
}

TEST(Client, WhatNoRetryMendsEndsEverything) {
  const std::vector<std::pair<int, std::string>> answers = {{401, "--key-env"},
                                                            {403, "--key-env"},
                                                            {404, "--endpoint"},
                                                            {302, "final address"},
                                                            {307, "final address"}};
  for (const auto& [status, advice] : answers) {
    ChatServer elsewhere([](const ChatRequest&) { return ChatReply{.body = "good"}; });
    ChatServer server([&, status = status](const ChatRequest&) {
      return ChatReply{.status = status, .body = "{}", .headers = {"Location: " + elsewhere.endpoint()}};
    });
    EXPECT_THAT(refusal(options_for(server)), AllOf(HasSubstr(std::to_string(status)), HasSubstr(advice)));
    EXPECT_LE(server.num_requests(), 4);
    EXPECT_EQ(elsewhere.num_requests(), 0);
  }
}

TEST(Client, TheKeyIsSentAndNeverRepeated) {
  const std::string key = "sk-0123456789abcdef";
  ChatServer server([&](const ChatRequest& request) {
    EXPECT_EQ(request.authorization, "Bearer " + key);
    if (request.body == "9") return ChatReply{.status = 401, .body = "wrong key " + key};
    return ChatReply{.status = request.body == "0" ? 400 : 200, .body = "the key " + key + " and " + key};
  });
  auto options = options_for(server);
  options.key = key;
  for (const auto& [number, reply] : replies_to(options, 2)) EXPECT_EQ(reply.body, "the key [key] and [key]");
  EXPECT_THAT(refusal(options), Not(HasSubstr(key)));
}

// A key for a server on this machine would otherwise go to the proxy.
TEST(Client, NoProxyForThisMachine) {
  ChatServer server([](const ChatRequest&) { return ChatReply{.body = "good"}; });
  ::setenv("http_proxy", "http://localhost:1", 1);
  const auto reply = reply_to(options_for(server));
  ::unsetenv("http_proxy");
  EXPECT_EQ(reply.body, "good");
}

TEST(Client, StopsInTheMiddle) {
  ChatServer server([](const ChatRequest&) { return ChatReply{.body = "", .manner = Manner::kHang}; });
  int64_t given = 0;
  send_all(options_for(server), {.next =
                                     [&] {
                                       return std::optional(Request{given++, std::to_string(given)});
                                     },
                                 .done =
                                     [](int64_t, const Reply&) {
                                       ADD_FAILURE() << "nothing was answered";
                                       return false;
                                     },
                                 .stop = [&] { return server.num_requests() == 4; }});
  EXPECT_EQ(given, 4);
}

}  // namespace
}  // namespace pixart::caption
