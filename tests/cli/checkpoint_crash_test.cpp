// Saves of a small state: every state that a crash may leave behind, every operation failing, every operation
// the last one before a SIGKILL. In this program, because a thousand runs of the command take too long.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "checkpoint.h"
#include "crash_states.h"
#include "io_shim.h"
#include "line_trainer.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/run/checkpoint_writer.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;
using run::CheckpointWriter;
using run::OnSaveError;

constexpr int64_t kSteps = 4;

// Numbers that depend on the step alone. (Training itself is not possible in a forked process.)
void make_step(Session& session) {
  const auto state = session.trainer.state();
  at::Tensor values = state.values.detach(), ema = state.ema;
  values.mul_(0.75).add_(double(++*state.step));
  ema.copy_(values * 0.5);
  double share = 0.25;
  for (const auto& item : session.trainer.optimizer_state())
    at::Tensor(item.tensor).fill_(share *= 0.9).add_(double(*state.step));
  state.optimizer->steps() = *state.step;
}

train::CheckpointFacts facts() { return {.seconds = 1.5, .metadata = {{"architecture", "line"}}}; }

struct Life {
  OnSaveError on_error = OnSaveError::kContinue;
  bool waits = false;  // for each save, and marks it in the record
  std::vector<long>* operations_at = nullptr;
};

// A stage as the trainer runs it: continues, saves before the first step and after each.
void live(const fs::path& folder, const Life& life) {
  Session session;
  run::remove_checkpoint_leftovers(folder);
  CheckpointWriter writer(folder, {.keep_last = 2}, life.on_error);
  const auto save = [&](bool must) {
    writer.start(train::checkpoint_content(session.trainer, session.state, facts()));
    if (!must && !life.waits) return;
    writer.finish();
    io_shim_mark(std::to_string(session.trainer.step()).c_str());
    if (life.operations_at != nullptr) life.operations_at->push_back(io_shim_count());
  };
  if (const auto checkpoint = run::newest_good_checkpoint(folder))
    train::load_checkpoint(checkpoint->folder, session.trainer, session.state);
  else
    save(true);
  while (session.trainer.step() < kSteps) {
    make_step(session);
    writer.check();
    save(session.trainer.step() == kSteps);
  }
}

// What the model, the EMA and the optimizer of a checkpoint must be.
std::string contents(const fs::path& checkpoint) {
  std::string all;
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"})
    all += read_file(checkpoint / name);
  return all;
}

class CheckpointCrash : public ::testing::Test {
 protected:
  CheckpointCrash() {
    // Nothing here needs a disk, and memory is much faster.
    const fs::path memory = "/dev/shm";
    std::string pattern =
        ((::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path()) / "pixart-crash-XXXXXX")
            .string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = pattern;
    fs::create_directories(folder());
    Session session;
    save_into_expected(session);
    while (session.trainer.step() < kSteps) {
      make_step(session);
      save_into_expected(session);
    }
    log::set_level(log::Level::kError);
  }
  ~CheckpointCrash() override {
    set("off");
    log::set_level(log::Level::kInfo);
    fs::remove_all(root_);
  }

  void save_into_expected(Session& session) {
    train::save_checkpoint(root_ / "expected", session.trainer, session.state, facts());
    expected_.push_back(contents(root_ / "expected" / fmt::format("step-{:08d}", session.trainer.step())));
  }
  fs::path folder() const { return root_ / "stage"; }
  void set(const char* mode, long at = 0, int error = 0) {
    const std::string watched = folder(), record = root_ / "record";
    const IoShimSettings settings = {.folder = std::string(mode) == "off" ? nullptr : watched.c_str(),
                                     .match = nullptr,
                                     .mode = mode,
                                     .at = at,
                                     .error = error,
                                     .log = record.c_str(),
                                     .times = 0};
    io_shim_set(&settings);
  }

  struct End {
    int code;  // or 128 + signal
    std::string output;
  };
  // A life in an empty folder, in a process of its own.
  End live_under(const char* mode, long at, int error, OnSaveError on_error) {
    fs::remove_all(folder());
    fs::create_directories(folder());
    const fs::path output = root_ / "output";
    const pid_t child = ::fork();
    if (child == 0) {
      const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(out, 2);
      log::set_level(log::Level::kWarning);
      set(mode, at, error);
      int code = 0;
      try {
        live(folder(), {.on_error = on_error});
      } catch (const UserError& problem) {
        log::error("{}", problem.what());
        code = int(problem.code());
      } catch (const std::exception& problem) {
        log::error("{}", problem.what());
        code = 70;
      }
      ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(output)};
  }

  // Operations made when each save (that of step 0 first) was durable.
  std::vector<long> operations_at() {
    std::vector<long> result;
    set("count");
    live(folder(), {.waits = true, .operations_at = &result});
    set("off");
    return result;
  }

  int64_t num_good() const {
    int64_t count = 0;
    for (const auto& checkpoint : run::list_checkpoints(folder()))
      count += run::verify_checkpoint(checkpoint.folder).is_good();
    return count;
  }

  // The newest good one, which must be what was saved, of this step or a later one; and the one before it.
  void expect_good(int64_t at_least, int64_t saves, const std::string& where) const {
    const auto newest = run::newest_good_checkpoint(folder());
    ASSERT_TRUE(newest) << where;
    EXPECT_GE(newest->step, at_least) << where;
    EXPECT_EQ(contents(newest->folder), expected_.at(size_t(newest->step))) << where;
    EXPECT_GE(num_good(), std::min<int64_t>(2, saves)) << where;
  }

  fs::path root_;
  std::vector<std::string> expected_;  // by step
};

TEST_F(CheckpointCrash, EveryStateThatACrashMayLeaveHoldsTheLastAcknowledgedStep) {
  set("record");
  live(folder(), {.waits = true});
  set("off");
  const auto operations = read_record(root_ / "record");
  ASSERT_GT(operations.size(), 100u);
  // More of them take longer and find nothing new that is likely.
  const char* text = std::getenv("PIXART_CRASH_SELECTIONS");
  const int selections = text != nullptr ? std::atoi(text) : 80;
  int64_t sum = 0;
  for (const bool weak : {false, true}) {
    const int64_t states = for_each_crash_state(
        operations, {.weak = weak, .random_selections = selections}, folder(), [&](const CrashState& state) {
          if (state.marks.empty()) {
            const auto newest = run::newest_good_checkpoint(folder());
            if (newest) {
              EXPECT_EQ(contents(newest->folder), expected_.at(size_t(newest->step)));
            }
          } else {
            expect_good(std::stoll(state.marks.back()), int64_t(state.marks.size()),
                        fmt::format("{} model, after operation {}, missing: {}", weak ? "weak" : "ordered",
                                    state.moment, state.what));
          }
          // Under its name only when complete, and until it is deleted whole.
          if (!weak) {
            EXPECT_EQ(num_good(), int64_t(run::list_checkpoints(folder()).size()))
                << "ordered model, after operation " << state.moment;
          }
          if (HasFailure()) throw std::runtime_error("the first such state is enough");
        });
    std::printf("%s model: %ld crash states of %zu operations\n", weak ? "weak" : "ordered", long(states),
                operations.size());
    EXPECT_GT(states, 100);
    sum += states;
  }
  EXPECT_GT(sum, 1000);
}

struct Injection {
  const char* mode;
  int error;  // 0: one after the other
  OnSaveError on_error;
};

class CheckpointErrors : public CheckpointCrash, public ::testing::WithParamInterface<Injection> {};

TEST_P(CheckpointErrors, EveryOperationMayFail) {
  const auto [mode, one_error, on_error] = GetParam();
  const auto boundaries = operations_at();
  const long last = boundaries.back();
  ASSERT_GT(last, 100);
  const bool forever = std::string(mode) == "fail_from", is_short = std::string(mode) == "short";
  int failed_runs = 0, gone_on = 0;
  for (long n = 1; n <= last; ++n) {
    const int error = one_error != 0 ? one_error : std::array{ENOSPC, EIO, EDQUOT}[size_t(n % 3)];
    const End end = live_under(mode, n, error, on_error);
    const std::string where = fmt::format("{} at operation {} of {}: {}", mode, n, last, end.output);
    const int64_t saves =
        std::lower_bound(boundaries.begin(), boundaries.end(), n) - boundaries.begin();  // before it
    if (saves > 0) expect_good(saves - 1, saves, where);
    const bool said_so = end.output.find("was not saved: ") != std::string::npos;
    if (end.code == 0) {
      EXPECT_EQ(contents(folder() / fmt::format("step-{:08d}", kSteps)), expected_.back()) << where;
      gone_on += said_so;
      EXPECT_FALSE(said_so && (is_short || on_error == OnSaveError::kStop)) << where;
    } else {
      ++failed_runs;
      ASSERT_EQ(end.code, int(ExitCode::kStorage)) << where;
      EXPECT_TRUE(said_so) << where;
      EXPECT_THAT(end.output, ::testing::HasSubstr(std::strerror(error))) << where;
      EXPECT_FALSE(is_short) << where;
      // In between only on wish.
      const bool must = saves == 0 || saves == kSteps || forever;
      EXPECT_TRUE(must || on_error == OnSaveError::kStop) << where;
    }
    // Silence is allowed where nothing is lost: another way to rename, or leftovers that cannot be deleted.
    static const std::regex kMatters("io_shim: [0-9]+: (open|write|fsync|mkdir|rename) ");
    if (!is_short && std::regex_search(end.output, kMatters)) {
      EXPECT_TRUE(said_so || end.output.find("an old checkpoint is not deleted: ") != std::string::npos)
          << where;
    }
    if (HasFailure()) return;
  }
  std::printf("%ld operations failed in turn: %d runs ended, %d lost a save and went on\n", last, failed_runs,
              gone_on);
  EXPECT_EQ(failed_runs > 0, !is_short);
  EXPECT_EQ(gone_on > 0, !is_short && !forever && on_error == OnSaveError::kContinue);
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointErrors,
                         ::testing::Values(Injection{"fail", 0, OnSaveError::kContinue},
                                           Injection{"fail", 0, OnSaveError::kStop},
                                           Injection{"fail_from", ENOSPC, OnSaveError::kContinue},
                                           Injection{"short", 0, OnSaveError::kContinue}),
                         [](const auto& info) {
                           return fmt::format(
                               "{}_{}", info.param.mode,
                               info.param.on_error == OnSaveError::kStop ? "stop" : "continue");
                         });

TEST_F(CheckpointCrash, KilledAtEveryOperationItContinues) {
  const auto boundaries = operations_at();
  for (long n = 1; n <= boundaries.back(); ++n) {
    const std::string where = fmt::format("killed before operation {} of {}", n, boundaries.back());
    ASSERT_EQ(live_under("kill", n, 0, OnSaveError::kContinue).code, 128 + SIGKILL) << where;
    const int64_t saves = std::lower_bound(boundaries.begin(), boundaries.end(), n) - boundaries.begin();
    if (saves > 0) expect_good(saves - 1, saves, where);
    live(folder(), {});
    expect_good(kSteps, kSteps + 1, where);
    for (const auto& entry : fs::directory_iterator(folder()))
      EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << where << ": " << entry.path();
    if (HasFailure()) return;
  }
  std::printf("%ld kills\n", boundaries.back());
}

}  // namespace
}  // namespace pixart::testing
