// Who is let in, and that strangers neither get in nor delay anybody.
#include <gmock/gmock.h>

#include <cstring>
#include <deque>
#include <future>
#include <thread>
#include <tuple>

#include "handshake.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/secret.h"
#include "strangers.h"

namespace pixart::distributed {
namespace {

using pixart::testing::Stranger;
using pixart::testing::words_of_strangers;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kLong = 60, kSoon = 5;

Launch rank_of_run(int rank, const std::string& token = "what the ranks of this test know") {
  Launch launch;
  launch.rank = rank;
  launch.world_size = 3;
  launch.token = token;
  return launch;
}

const std::string& key() {
  static const std::string made = session_key(rank_of_run(0));
  return made;
}

// A gate of rank 0 in its own thread, until somebody has come in or `seconds` are over.
class House {
 public:
  explicit House(double seconds = kLong, const GateLimits& limits = {}) {
    std::tie(listener_, port_) = listen_on("127.0.0.1");
    came_ = std::async(std::launch::async, [this, seconds, limits] {
      Gate gate(listener_, key(), 0, limits);
      auto visitors = gate.wait(monotonic_seconds() + seconds);
      strangers_ = gate.close();
      return visitors;
    });
  }
  int port() const { return port_; }
  Address address() const { return {"127.0.0.1", port_}; }
  std::vector<Visitor> came() { return came_.get(); }
  const Strangers& strangers() const { return strangers_; }  // after came()

 private:
  Socket listener_;
  int port_ = 0;
  Strangers strangers_;
  std::future<std::vector<Visitor>> came_;
};

// A guest that does each part of the handshake by hand.
struct Guest {
  explicit Guest(const House& house)
      : socket(connect_until(house.address(), monotonic_seconds() + kLong, "the test")) {
    introduction = introduction_of(rank_of_run(1), Purpose::kMeeting);
    introduction.magic = kIntroductionMagic;
    std::memset(introduction.nonce, 7, sizeof introduction.nonce);
  }
  void introduce() {
    ASSERT_TRUE(write_until(socket, &introduction, sizeof introduction, monotonic_seconds() + kLong));
    ASSERT_TRUE(read_until(socket, nonce.data(), nonce.size(), monotonic_seconds() + kLong));
  }
  // Returns whether the other side answers.
  bool say(const std::string& proof) {
    std::string answer(kProofBytes, '\0');
    return write_until(socket, proof.data(), proof.size(), monotonic_seconds() + kLong) &&
           read_until(socket, answer.data(), answer.size(), monotonic_seconds() + kLong);
  }
  Socket socket;
  Introduction introduction;
  std::string nonce = std::string(kNonceBytes, '\0');
};

std::string problem_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    return error.what();
  }
  return "no problem";
}

TEST(Gate, ARankComesInAndItsWordsWithIt) {
  House house;
  const Launch launch = rank_of_run(2);
  const Socket socket = connect_as(introduction_of(launch, Purpose::kControl, {"10.1.2.3", 4567}), 0,
                                   house.address(), key(), monotonic_seconds() + kLong);
  const auto came = house.came();
  ASSERT_EQ(came.size(), 1u);
  const Introduction& who = came[0].introduction;
  EXPECT_EQ(who.rank, 2u);
  EXPECT_EQ(who.world_size, 3u);
  EXPECT_EQ(who.purpose, Purpose::kControl);
  EXPECT_EQ(to_string(address_of(who)), "10.1.2.3:4567");
  EXPECT_EQ(house.strangers().all(), 0);
  ASSERT_TRUE(write_until(came[0].socket, "x", 1, monotonic_seconds() + kLong));
  char byte = 0;
  ASSERT_TRUE(read_until(socket, &byte, 1, monotonic_seconds() + kLong));
  EXPECT_EQ(byte, 'x');
}

TEST(Gate, TheTokenIsTheSameForAllRanksAndDiffersBetweenAttempts) {
  Launch again = rank_of_run(1);
  EXPECT_EQ(session_key(again), key());
  again.attempt = 1;
  EXPECT_NE(session_key(again), key());
  EXPECT_NE(session_key(rank_of_run(0, "what other ranks know")), key());
}

TEST(Gate, AnotherTokenIsRefusedAndSaid) {
  House house(1);
  const std::string other = session_key(rank_of_run(1, "what other ranks know"));
  const std::string problem = problem_of([&] {
    connect_as(introduction_of(rank_of_run(1), Purpose::kMeeting), 0, house.address(), other,
               monotonic_seconds() + 0.5);
  });
  EXPECT_THAT(problem, HasSubstr("does not have the run token of rank 1"));
  EXPECT_THAT(problem, Not(HasSubstr("what other ranks know")));
  EXPECT_TRUE(house.came().empty());
  EXPECT_GE(house.strangers().unproven, 1);
}

TEST(Gate, AProofIsOfNoUseASecondTime) {
  House house;
  Guest first(house);
  first.introduce();
  const std::string proof = prove(Side::kGuest, key(), first.introduction, first.nonce);
  EXPECT_TRUE(first.say(proof));
  EXPECT_EQ(house.came().size(), 1u);

  House later(1);
  Guest second(later);
  second.introduce();
  EXPECT_NE(second.nonce, first.nonce);
  EXPECT_FALSE(second.say(proof));
  EXPECT_TRUE(later.came().empty());
  EXPECT_EQ(later.strangers().unproven, 1);
}

TEST(Gate, AProofIsOfNoUseForOtherWordsOrForTheOtherSide) {
  House house(2);
  Guest other_rank(house), other_side(house);
  other_rank.introduce();
  Introduction said_elsewhere = other_rank.introduction;
  said_elsewhere.rank = 2;
  EXPECT_FALSE(other_rank.say(prove(Side::kGuest, key(), said_elsewhere, other_rank.nonce)));
  other_side.introduce();
  EXPECT_FALSE(other_side.say(prove(Side::kHost, key(), other_side.introduction, other_side.nonce)));
  EXPECT_TRUE(house.came().empty());
  EXPECT_EQ(house.strangers().unproven, 2);
}

TEST(Gate, WordsForAnotherRankAreRefused) {
  House house(1);
  Guest guest(house);
  guest.introduction.to = 1;
  ASSERT_TRUE(
      write_until(guest.socket, &guest.introduction, sizeof guest.introduction, monotonic_seconds() + kLong));
  char byte = 0;
  EXPECT_FALSE(read_until(guest.socket, &byte, 1, monotonic_seconds() + kLong));
  EXPECT_TRUE(house.came().empty());
  EXPECT_EQ(house.strangers().foreign, 1);
}

// It answers in the right form, but cannot know the proof.
TEST(Gate, AnImpostorAtTheAddressOfARankIsNotBelieved) {
  const auto [listener, port] = listen_on("127.0.0.1");
  const Socket& open_listener = listener;
  const auto impostor = std::async(std::launch::async, [&] {
    const double end = monotonic_seconds() + 1;
    std::vector<Socket> held;
    while (wait_to_read(open_listener, end)) {
      held.push_back(accept_now(open_listener));
      char heard[sizeof(Introduction) + kProofBytes];
      if (!read_until(held.back(), heard, sizeof(Introduction), end)) continue;
      const std::string lie = random_bytes(kNonceBytes + kProofBytes);
      write_until(held.back(), lie.data(), lie.size(), end);
    }
  });
  EXPECT_THAT(problem_of([&, port = port] {
                connect_as(introduction_of(rank_of_run(1), Purpose::kMeeting), 0, {"127.0.0.1", port}, key(),
                           monotonic_seconds() + 0.5);
              }),
              HasSubstr("does not have the run token of rank 1"));
}

TEST(Gate, StrangersOfEachKindAreDroppedAndCounted) {
  House house(3, {.prove_seconds = 0.3});
  std::deque<Stranger> strangers;
  for (const auto& words : words_of_strangers()) strangers.emplace_back(house.port(), words);
  Stranger gone(house.port());
  gone.hang_up();
  for (const auto& stranger : strangers) EXPECT_TRUE(stranger.is_dropped());
  EXPECT_TRUE(house.came().empty());
  EXPECT_EQ(house.strangers().silent, 4);   // the silent one, two beginnings, the one that left
  EXPECT_EQ(house.strangers().foreign, 6);  // of other protocols
  EXPECT_EQ(house.strangers().unproven, 0);
}

TEST(Gate, StrangersWhoSpeakSlowlyHaveNoMoreTimeThanOthers) {
  House house(kLong, {.prove_seconds = 0.5});
  const double begun = monotonic_seconds();
  const Stranger slow(house.port(), "5");
  for (const char* word : {"I", "x", "P"}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    slow.say(word);
  }
  EXPECT_TRUE(slow.is_dropped());
  EXPECT_LT(monotonic_seconds() - begun, kSoon);
  connect_as(introduction_of(rank_of_run(1), Purpose::kMeeting), 0, house.address(), key(),
             monotonic_seconds() + kLong);
  EXPECT_EQ(house.came().size(), 1u);
}

TEST(Gate, TwoHundredHalfOpenConnectionsDelayNobody) {
  House house(kLong, {.prove_seconds = kLong});
  std::deque<Stranger> strangers;
  for (int i = 0; i < 100; ++i) strangers.emplace_back(house.port(), "");
  for (int i = 0; i < 50; ++i) strangers.emplace_back(house.port(), "5Ix");
  for (int i = 0; i < 50; ++i)
    strangers.emplace_back(house.port(), std::string("5IxP") + std::string(60, '\0'));
  const double begun = monotonic_seconds();
  connect_as(introduction_of(rank_of_run(1), Purpose::kMeeting), 0, house.address(), key(), begun + kLong);
  EXPECT_LT(monotonic_seconds() - begun, kSoon);
  EXPECT_EQ(house.came().size(), 1u);
  EXPECT_EQ(house.strangers().silent, 200);
}

// Nobody can fill all places: the oldest that has said nothing makes room.
TEST(Gate, MoreThanThereArePlacesDelayNobody) {
  House house(kLong, {.pending = 8, .prove_seconds = kLong});
  std::deque<Stranger> strangers;
  for (int i = 0; i < 300; ++i) strangers.emplace_back(house.port(), i % 2 == 0 ? "" : "5Ix");
  EXPECT_TRUE(strangers.front().is_dropped());
  const double begun = monotonic_seconds();
  connect_as(introduction_of(rank_of_run(1), Purpose::kMeeting), 0, house.address(), key(), begun + kLong);
  EXPECT_LT(monotonic_seconds() - begun, kSoon);
  EXPECT_EQ(house.came().size(), 1u);
  EXPECT_EQ(house.strangers().silent, 300);
}

TEST(Gate, StrangersAreSaidInOneLine) {
  Strangers strangers{.silent = 1, .foreign = 2, .unproven = 3};
  strangers += {.silent = 10, .foreign = 20, .unproven = 30};
  EXPECT_EQ(to_string(strangers),
            "dropped 66 connections of strangers: 11 said too little, 22 said what no rank says, 33 did not "
            "know the run token");
}

}  // namespace
}  // namespace pixart::distributed
