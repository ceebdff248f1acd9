#include "pixart/base/claim.h"

#include <fstream>
#include <functional>
#include <thread>

#include "pixart/base/env.h"
#include "scratch_folder.h"

namespace pixart {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal;

class Claims : public testing::ScratchFolder {
 protected:
  fs::path lock() const { return folder_ / ".lock"; }
  fs::path made() const { return folder_ / "made"; }
  // Watches for `seconds`, and does something in between.
  void watch(HolderWatch& holder, double seconds, const std::function<void()>& between) const {
    for (const double end = monotonic_seconds() + seconds; monotonic_seconds() < end;) {
      between();
      holder.look();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

const SharedWork kImpatient = {.rank = 0, .patience_seconds = 0.4};

TEST_F(Claims, AreOfOneAtATime) {
  auto claim = Claim::try_take(lock(), {});
  ASSERT_TRUE(claim);
  EXPECT_FALSE(Claim::try_take(lock(), {}));
  const Claim moved = std::move(*claim);
  claim.reset();
  EXPECT_FALSE(Claim::try_take(lock(), {}));
}

TEST_F(Claims, ASilentHolderIsNamed) {
  const auto silence_of = [&](const SharedWork& holder) {
    const auto claim = Claim::try_take(lock(), holder);
    return refusal([&] { Claim::wait_for(lock(), made(), kImpatient); });
  };
  const std::string process = fmt::format("process {} on {}", process_id(), host_name());
  EXPECT_THAT(silence_of({.rank = 3}),
              AllOf(HasSubstr("rank 3 (" + process + "), which makes " + made().string()),
                    HasSubstr("no sign of life for ")));
  EXPECT_THAT(silence_of({}), HasSubstr(process + ", which makes"));
  const FileLock of_an_older_version(folder_ / ".old");
  EXPECT_THAT(refusal([&] { Claim::wait_for(folder_ / ".old", made(), kImpatient); }),
              HasSubstr("another process, which makes"));
}

TEST_F(Claims, SignsOfLifeKeepTheOthersWaiting) {
  auto claim = Claim::try_take(lock(), kImpatient);
  HolderWatch holder(lock(), made(), kImpatient);
  give_sign_of_life();  // nothing to speak for
  {
    const SignsOfLife signs(*claim);
    EXPECT_NO_THROW(watch(holder, 1.2, give_sign_of_life));
  }
  EXPECT_THROW(watch(holder, 5, give_sign_of_life), SilentHolder);
}

TEST_F(Claims, AFileThatGrowsIsASignOfLife) {
  const auto claim = Claim::try_take(lock(), {});
  HolderWatch holder(lock(), made(), kImpatient);
  std::ofstream file(folder_ / ".tmp-made-0123456789abcdef");
  EXPECT_NO_THROW(watch(holder, 1.2, [&] { file << "more" << std::flush; }));
  std::ofstream another(folder_ / ".tmp-another-0123456789abcdef");
  EXPECT_THROW(watch(holder, 5, [&] { another << "more" << std::flush; }), SilentHolder);
}

TEST_F(Claims, AProcessByItselfWaitsAndWarnsAgainAndAgain) {
  const auto claim = Claim::try_take(lock(), {});
  HolderWatch holder(lock(), made(), {.warn_seconds = 0.3, .warn_again_seconds = 0.6});
  ::testing::internal::CaptureStderr();
  watch(holder, 0.1, [] {});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ::testing::internal::CaptureStderr();
  EXPECT_NO_THROW(watch(holder, 2.5, [] {}));
  const std::string said = ::testing::internal::GetCapturedStderr();
  const std::string words = fmt::format("process {} on", process_id());
  EXPECT_NE(said.find(words), said.rfind(words)) << said;
}

TEST_F(Claims, TheNextOneTakesWhatIsGivenUp) {
  auto claim = Claim::try_take(lock(), {});
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    claim.reset();
  });
  const Claim mine = Claim::wait_for(lock(), made(), {});
  other.join();
  EXPECT_FALSE(Claim::try_take(lock(), {}));
}

// What a process of another machine, whose lock this one does not see, has written.
std::string lease_of(const std::string& host, const std::string& token) {
  return fmt::format("{:020}\n4711 -1 {} {}\n", 7, host, token);
}
const SharedWork kShortLease = {.lease_seconds = 0.4};

TEST_F(Claims, AreDeletedWhenTheyAreGivenUp) {
  auto claim = Claim::try_take(lock(), {});
  EXPECT_THAT(read(lock()), HasSubstr(claim->token()));
  EXPECT_EQ(claim->token().size(), 16);
  claim.reset();
  EXPECT_FALSE(fs::exists(lock()));
}

TEST_F(Claims, OfADeadProcessOfThisMachineAreFreeAtOnce) {
  for (const std::string& left :
       {std::string(), std::string("7\n4711 -1 elsewhere\n"),  // an earlier version's
        lease_of(host_name(), "0123456789abcdef")}) {
    write(".lock", left);
    EXPECT_TRUE(Claim::try_take(lock(), {})) << left;
  }
}

TEST_F(Claims, OfADeadProcessOfAnotherMachineAreFreeAfterItsSilence) {
  write(".lock", lease_of("elsewhere", "0123456789abcdef"));
  EXPECT_FALSE(Claim::try_take(lock(), kShortLease));
  HolderWatch holder(lock(), made(), kShortLease);
  EXPECT_FALSE(Claim::try_take(lock(), kShortLease, &holder));
  const double start = monotonic_seconds();
  ::testing::internal::CaptureStderr();
  const Claim claim = Claim::wait_for(lock(), made(), kShortLease);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("process 4711 on elsewhere"), HasSubstr("This process takes over")));
  EXPECT_GE(monotonic_seconds() - start, 0.4);
  EXPECT_THAT(read(lock()), HasSubstr(claim.token()));
}

TEST_F(Claims, OfALivingProcessOfAnotherMachineAreNotFree) {
  write(".lock", lease_of("elsewhere", "0123456789abcdef"));
  HolderWatch holder(lock(), made(), kShortLease);
  int count = 100;
  watch(holder, 1.2, [&] { write(".lock", fmt::format("{:020}\n4711 -1 elsewhere f00\n", ++count)); });
  EXPECT_FALSE(Claim::try_take(lock(), kShortLease, &holder));
  EXPECT_GT(holder.held_seconds(), 1);
  write(".lock", lease_of("elsewhere", "another"));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  holder.look();
  EXPECT_LT(holder.held_seconds(), 0.2) << "another holder";
}

TEST_F(Claims, ALostOneIsNoticedAndTheNewHoldersFileStays) {
  auto claim = Claim::try_take(lock(), kShortLease);
  const std::string others = lease_of("elsewhere", "0123456789abcdef");
  {
    const SignsOfLife signs(*claim, made());
    EXPECT_NO_THROW(give_sign_of_life());
    write(".lock", others);
    EXPECT_TRUE(claim->is_lost());
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_THROW(give_sign_of_life(), Overtaken);
  }
  claim.reset();
  EXPECT_EQ(read(lock()), others);
}

TEST_F(Claims, WorkEndsWhenAnotherProcessHasDoneIt) {
  auto claim = Claim::try_take(lock(), {});
  const SignsOfLife without(*claim);
  write("made", "by another process");
  EXPECT_NO_THROW(give_sign_of_life());
  const SignsOfLife signs(*claim, made());
  EXPECT_THROW(give_sign_of_life(), Overtaken);
}

}  // namespace
}  // namespace pixart
