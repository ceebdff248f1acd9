// Which steps are bad, who is to blame, and that a run which leaves out bad samples when it meets them ends with
// the bits of a run that was told of them. scripts/campaign/poison.py tries it with the program.
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "blame.h"
#include "checkpoint.h"
#include "line_trainer.h"
#include "plain_data.h"
#include "scratch_folder.h"

namespace pixart::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::refusal;

StepJudge judge_of(double factor, int64_t window) {
  return StepJudge({.roll_back = true, .spike_factor = factor, .spike_window = window});
}

TEST(StepJudgeTest, ValuesThatAreNotFiniteAreBadAtOnce) {
  const StepJudge judge(run::BadStepConfig{});
  EXPECT_EQ(judge.fault_of({1, 2}), "");
  EXPECT_EQ(judge.fault_of({std::nan(""), 2}), "the loss is not finite");
  EXPECT_EQ(judge.fault_of({1, HUGE_VAL}), "the gradient is not finite");
  EXPECT_EQ(judge.fault_of({1e30, 1e30}), "") << "spikes are only looked for with spike_factor";
}

TEST(StepJudgeTest, ASpikeIsFarAboveTheMedianOfTheLastGoodSteps) {
  auto judge = judge_of(10, 3);
  judge.add({1, 5});
  judge.add({1, 5});
  EXPECT_EQ(judge.fault_of({100, 5}), "") << "too few steps to tell";
  judge.add({4, 500});  // one high value does not move the median
  EXPECT_EQ(judge.fault_of({10, 50}), "");
  EXPECT_EQ(judge.fault_of({11, 5}), "the loss 11 is 11.0 times the median of the last 3 good steps");
  EXPECT_THAT(judge.fault_of({1, 51}), HasSubstr("the gradient norm 51 is 10.2 times"));
  judge.add({4, 500});
  EXPECT_EQ(judge.fault_of({39, 51}), "") << "only the last three count";
  EXPECT_EQ(judge.recent().size(), 3u);
  auto shorter = judge_of(10, 3);
  shorter.set_recent({{9, 9}, {9, 9}, {1, 1}, {2, 2}, {3, 3}});
  EXPECT_EQ(shorter.recent().front().loss, 1);
}

class BlameTest : public ::testing::Test {
 protected:
  BlameTest() {
    source_.name = "mine";
    stage_.name = "text";
    stage_.bad_steps = {.roll_back = true, .most_roll_backs = 2};
  }
  features::ExcludedSamples nothing_left_out() const {
    return {{{.source = &source_, .dataset = &dataset_}}, ""};
  }
  std::vector<std::string> blamed(int64_t step, const std::vector<Suspect>& suspects) {
    const auto samples = samples_to_blame(stage_, bad(step), suspects, known_);
    std::vector<std::string> keys;
    for (const auto& sample : samples) keys.push_back(sample.key);
    known_.add(samples);
    return keys;
  }
  static StepResult bad(int64_t step) {
    return {.step = step, .skipped = true, .fault = "the loss is not finite"};
  }

  data::SourceConfig source_;
  testing::PlainDataset dataset_{10};
  run::StageConfig stage_;
  features::ExcludedSamples known_ = nothing_left_out();
};

TEST_F(BlameTest, SamplesThatAreBadAloneOrElseTheWholeStep) {
  EXPECT_EQ(blamed(4, {{7, false}, {2, true}, {5, true}, {1, false}}),
            (std::vector<std::string>{"2.png", "5.png"}));
  EXPECT_EQ(blamed(6, {{7, false}, {1, false}}), (std::vector<std::string>{"1.png", "7.png"}));
  EXPECT_EQ(known_.found().at(0).roll_back, 1);
  EXPECT_EQ(known_.found().at(2).roll_back, 2);
  EXPECT_EQ(known_.found().at(2).step, 6);
  EXPECT_EQ(known_.found().at(2).reason, "the loss is not finite");
}

TEST_F(BlameTest, TooManyRollBacksEndTheRun) {
  blamed(4, {{1, true}, {2, false}});
  blamed(5, {{3, true}, {2, false}});
  const auto third = [&] { blamed(6, {{5, true}, {2, false}}); };
  EXPECT_THAT(refusal(third),
              AllOf(HasSubstr("step 6: the loss is not finite, after 2 roll-backs"),
                    HasSubstr("most_roll_backs"), HasSubstr("mine: 5.png"), Not(HasSubstr("2.png"))));
  try {
    third();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumerics);
  }
}

// Without the samples the step is as bad as before: the data are not the cause.
TEST_F(BlameTest, AStepThatIsBadAgainWithOtherSamplesEndsTheRun) {
  blamed(4, {{1, false}, {2, false}});
  EXPECT_THAT(
      refusal([&] {
        blamed(4, {{3, false}, {5, false}});
      }),
      AllOf(HasSubstr("the data are not the cause"), HasSubstr("mine: 3.png"), HasSubstr("optimizer.lr")));
  EXPECT_THAT(refusal([&] { blamed(4, {{3, true}, {5, true}}); }), HasSubstr("the data are not the cause"));
  // A substitute that is bad by itself does not prove that.
  EXPECT_EQ(blamed(4, {{3, true}, {5, false}}), std::vector<std::string>{"3.png"});
}

// As Line, but the loss of a few rows is not finite.
class Spoiled : public testing::Line {
 public:
  Spoiled(nn::StateDict& state, std::set<int64_t> rows) : Line(state), rows_(std::move(rows)) {}
  at::Tensor loss(const data::Batch& batch) override {
    at::Tensor loss = Line::loss(batch);
    for (const int64_t row : batch.plan.rows)
      if (rows_.count(row) > 0) loss = loss * std::nan("");
    return loss;
  }

 private:
  std::set<int64_t> rows_;
};

struct SpoiledSession {
  explicit SpoiledSession(const run::BadStepConfig& bad_steps)
      : trainer(config(bad_steps), with_base(), objective, loader, testing::one_rank()) {}
  static run::TrainerConfig config(const run::BadStepConfig& bad_steps) {
    auto result = testing::Session::config();
    result.bad_steps = bad_steps;
    result.max_skipped = 1000;
    return result;
  }
  nn::StateDict& with_base() {
    state.get("base").fill_(0.5);
    return state;
  }
  nn::StateDict state;
  std::shared_ptr<data::ExcludedRows> excluded = std::make_shared<data::ExcludedRows>();
  Spoiled objective{state, {3, 8}};
  data::Loader loader{std::make_shared<data::SampleOrder>(0, std::vector<data::OrderPart>{{.rows = 12}},
                                                          data::OrderBuckets{}, excluded),
                      {.batch_size = 4, .micro_batch_size = 2},
                      {.threads = 1},
                      testing::name_samples};
  Trainer trainer;
};

class RollBackTest : public testing::ScratchFolder {
 protected:
  static constexpr int64_t kSteps = 20;
  void save(SpoiledSession& session) {
    save_checkpoint(folder_, session.trainer, session.state, {.excluded = {{.source = "mine", .key = "a"}}});
  }
  CheckpointFacts load(SpoiledSession& session) {
    return load_checkpoint(run::newest_good_checkpoint(folder_)->folder, session.trainer, session.state);
  }
  // What StageRun does, without files other than checkpoints. Returns the rows that were blamed.
  std::set<int64_t> train_with_roll_backs(SpoiledSession& session) {
    std::set<int64_t> rows;
    save(session);
    while (session.trainer.step() < kSteps) {
      if (session.trainer.train_step().skipped) {
        session.trainer.stop_loading();
        load(session);
        for (const auto& suspect : session.trainer.suspects()) {
          if (!suspect.is_bad_alone) continue;
          session.excluded->add(suspect.row, session.trainer.step() * 4);
          rows.insert(suspect.row);
        }
      } else if (session.trainer.step() % 3 == 0) {
        save(session);
      }
    }
    return rows;
  }
};

TEST_F(RollBackTest, TheBitsAreThoseOfARunThatWasTold) {
  SpoiledSession told({.roll_back = true});
  for (const int64_t row : {3, 8}) told.excluded->add(row, 0);
  for (int64_t i = 0; i < kSteps; ++i) EXPECT_FALSE(told.trainer.train_step().skipped);
  SpoiledSession found({.roll_back = true});
  EXPECT_EQ(train_with_roll_backs(found), (std::set<int64_t>{3, 8}));
  EXPECT_TRUE(at::equal(told.trainer.state().values, found.trainer.state().values));
  EXPECT_TRUE(at::equal(told.trainer.state().ema, found.trainer.state().ema));
  SpoiledSession skipping({});
  for (int64_t i = 0; i < kSteps; ++i) skipping.trainer.train_step();
  EXPECT_FALSE(at::equal(told.trainer.state().values, skipping.trainer.state().values))
      << "nothing was compared";
}

TEST_F(RollBackTest, ABadStepTriesEachSampleAloneAndChangesNothing) {
  SpoiledSession session({.roll_back = true, .most_roll_backs = 0});
  StepResult result;
  at::Tensor before;
  do {
    before = session.trainer.state().values.clone();
    result = session.trainer.train_step();
  } while (!result.skipped);
  EXPECT_EQ(result.fault, "the loss is not finite");
  EXPECT_TRUE(at::equal(session.trainer.state().values, before));
  EXPECT_EQ(*session.trainer.state().skipped, 0);
  ASSERT_EQ(session.trainer.suspects().size(), 4u);
  for (const auto& suspect : session.trainer.suspects())
    EXPECT_EQ(suspect.is_bad_alone, suspect.row == 3 || suspect.row == 8) << suspect.row;
}

TEST_F(RollBackTest, ACheckpointHoldsTheLastGoodStepsAndWhatWasLeftOut) {
  const run::BadStepConfig spikes{.roll_back = true, .spike_factor = 1e6, .spike_window = 3};
  SpoiledSession first(spikes);
  for (const int64_t row : {3, 8}) first.excluded->add(row, 0);
  for (int i = 0; i < 5; ++i) first.trainer.train_step();
  save(first);
  SpoiledSession second(spikes);
  const auto facts = load(second);
  ASSERT_EQ(facts.excluded.size(), 1u);
  EXPECT_EQ(facts.excluded.front().key, "a");
  const auto& was = first.trainer.state().judge->recent();
  const auto& is = second.trainer.state().judge->recent();
  ASSERT_EQ(was.size(), 3u);
  ASSERT_EQ(is.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(is[i].loss, was[i].loss);
    EXPECT_EQ(is[i].gradient_norm, was[i].gradient_norm);
  }
}

}  // namespace
}  // namespace pixart::train
