#include "pixart/run/checkpoint_writer.h"

#include <ATen/ATen.h>
#include <sys/resource.h>

#include "pixart/formats/tensor_file.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::refusal;

class CheckpointWriterTest : public testing::ScratchFolder {
 protected:
  CheckpointContent live(int64_t step) const {
    return {.step = step, .files = {{"model", {{"weight", weight_}}}}, .metadata = {}, .state = "{}\n"};
  }
  double saved(int64_t step) const {
    const auto file =
        formats::load_safetensors(folder_ / "stage" / fmt::format("step-{:08d}", step) / "model.safetensors");
    return file.tensors.at("weight").min().item<double>();
  }
  // A file where the stage's folder should be: the disk of the test's own making.
  void break_disk() const {
    fs::rename(folder_ / "stage", folder_ / "aside");
    write("stage", "");
  }
  void mend_disk() const {
    fs::remove(folder_ / "stage");
    fs::rename(folder_ / "aside", folder_ / "stage");
  }
  at::Tensor weight_ = at::ones({1 << 16});
};

TEST_F(CheckpointWriterTest, WhatChangesAfterwardsIsNotSaved) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kStop);
  for (int64_t step = 1; step <= 5; ++step) {
    weight_.fill_(double(step));
    writer.start(live(step));
    weight_.fill_(-1);
  }
  writer.finish();
  EXPECT_EQ(writer.last_durable_step(), 5);
  ASSERT_EQ(list_checkpoints(folder_ / "stage").size(), 2u);
  EXPECT_EQ(saved(4), 4);
  EXPECT_EQ(saved(5), 5);
}

TEST_F(CheckpointWriterTest, TheTensorsMayBecomeOthers) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kStop);
  writer.start(live(1));
  weight_ = at::full({3, 5}, 7, at::kDouble);
  writer.start(live(2));
  writer.finish();
  EXPECT_EQ(saved(2), 7);
}

TEST_F(CheckpointWriterTest, AnErrorIsHarmlessUnlessItMustBeSaved) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kContinue);
  writer.start(live(1));
  writer.finish();
  break_disk();
  writer.start(live(2));
  EXPECT_NO_THROW(writer.start(live(3)));
  try {
    writer.finish();
    ADD_FAILURE() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("the checkpoint of step 3 was not saved: "));
  }
  EXPECT_NO_THROW(writer.check());
  EXPECT_EQ(writer.last_durable_step(), 1);
  mend_disk();
  writer.start(live(4));
  EXPECT_NO_THROW(writer.finish());
  EXPECT_EQ(writer.last_durable_step(), 4);
  EXPECT_EQ(list_checkpoints(folder_ / "stage").size(), 2u);
}

TEST_F(CheckpointWriterTest, WhatMustNotBeKeptIsAFailedSave) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kContinue);
  writer.start(live(1));
  CheckpointContent refused = live(2);
  refused.refusal = "events.jsonl cannot be written.";
  writer.start(refused);
  EXPECT_THAT(refusal([&] { writer.finish(); }), HasSubstr("step 2 was not saved: events.jsonl cannot be"));
  EXPECT_EQ(list_checkpoints(folder_ / "stage").size(), 1u);
  writer.start(live(3));
  EXPECT_NO_THROW(writer.finish());
  EXPECT_EQ(writer.last_durable_step(), 3);
}

TEST_F(CheckpointWriterTest, TooManyOpenFilesIsAFailedSaveWithItsCode) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kContinue);
  writer.start(live(1));
  writer.finish();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  writer.start(live(2));
  EXPECT_NO_THROW(writer.settle());
  ::setrlimit(RLIMIT_NOFILE, &before);
  try {
    writer.finish();
    ADD_FAILURE() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
  }
  writer.start(live(3));
  EXPECT_NO_THROW(writer.finish());
}

TEST_F(CheckpointWriterTest, AnErrorStopsOnWish) {
  CheckpointWriter writer(folder_ / "stage", {}, OnSaveError::kStop);
  writer.start(live(1));
  writer.finish();
  break_disk();
  writer.start(live(2));
  EXPECT_THAT(refusal([&] { writer.start(live(3)); }), HasSubstr("step 2 was not saved"));
  EXPECT_THAT(refusal([&] { writer.check(); }), HasSubstr("step 2 was not saved"));
  mend_disk();
}

TEST_F(CheckpointWriterTest, KeepsTheKept) {
  CheckpointWriter writer(folder_ / "stage", {.keep_last = 2, .keep_every = 3, .keep_steps = {1}},
                          OnSaveError::kStop);
  for (int64_t step = 0; step <= 8; ++step) writer.start(live(step));
  writer.finish();
  std::vector<int64_t> steps;
  for (const auto& checkpoint : list_checkpoints(folder_ / "stage")) steps.push_back(checkpoint.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 3, 6, 7, 8}));
}

}  // namespace
}  // namespace pixart::run
