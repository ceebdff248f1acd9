#include "tensorboard_folder.h"

#include "event_reader.h"
#include "file_size_limit.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

namespace fs = std::filesystem;
using TensorBoard = testing::ScratchFolder;
using formats::TensorBoardEvents;
using testing::event_files;
using testing::read_events;

TEST_F(TensorBoard, AStageHasARunOfItsOwn) {
  TensorBoardFolder board(folder_ / "tensorboard");
  EXPECT_FALSE(fs::exists(folder_ / "tensorboard")) << "made when it is needed";
  for (const char* stage : {"class", "text", "class"})
    board.write(stage, [](auto& file) { file.scalars(1, {{"loss", 1}}); });
  board.sync();
  ASSERT_EQ(event_files(folder_ / "tensorboard" / "class").size(), 1u);
  EXPECT_EQ(read_events(event_files(folder_ / "tensorboard" / "class")[0]).size(), 3u);
  EXPECT_EQ(read_events(event_files(folder_ / "tensorboard" / "text")[0]).size(), 2u);
}

TEST_F(TensorBoard, WhereItCannotWriteTheRunGoesOn) {
  const auto blocked = write("file", "");
  TensorBoardFolder board(blocked);
  int64_t calls = 0;
  for (int i = 0; i < 2; ++i) board.write("text", [&](auto&) { ++calls; });
  board.sync();
  EXPECT_EQ(calls, 0);
}

TEST_F(TensorBoard, AfterAStorageErrorTheFileIsLeftAlone) {
  TensorBoardFolder board(folder_);
  board.write("text", [](TensorBoardEvents&) { throw UserError("the disk is full.", ExitCode::kStorage); });
  int64_t calls = 0;
  board.write("text", [&](auto&) { ++calls; });
  EXPECT_EQ(calls, 0) << "its last record may be torn";
  board.write("other", [&](auto&) { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(event_files(folder_ / "text").size(), 1u);
}

TEST_F(TensorBoard, WhatHadToWaitIsInTheNextFileInOrder) {
  TensorBoardFolder board(folder_, 0);
  board.write("text", [](auto& file) { file.scalars(1, {{"loss", 1}}); });
  {
    const testing::FileSizeLimit limit(0);
    for (int64_t step = 2; step <= 4; ++step)
      board.write("text", [step](auto& file) { file.scalars(step, {{"loss", 1}}); });
  }
  board.write("text", [](auto& file) { file.scalars(5, {{"loss", 1}}); });
  const auto files = event_files(folder_ / "text");
  ASSERT_EQ(files.size(), 2u) << "files that could not be begun are removed";
  std::vector<int64_t> steps;
  for (const auto& event : read_events(files[1]))
    if (event.file_version.empty()) steps.push_back(event.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{2, 3, 4, 5}));
}

TEST_F(TensorBoard, WrongDataIsLeftOut) {
  TensorBoardFolder board(folder_);
  board.write("text", [](auto& file) { file.image(1, "samples", "no image"); });
  board.write("text", [](auto& file) { file.scalars(2, {{"loss", 1}}); });
  EXPECT_EQ(read_events(event_files(folder_ / "text")[0]).back().step, 2);
}

}  // namespace
}  // namespace pixart::run
