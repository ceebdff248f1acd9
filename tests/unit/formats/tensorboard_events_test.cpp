#include "pixart/formats/tensorboard_events.h"

#include <cmath>

#include "event_reader.h"
#include "folder.h"
#include "pixart/base/clock.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {
namespace {

namespace fs = std::filesystem;
using testing::event_files;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Pair;
using testing::read_events;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

using TensorBoard = Folder;

TEST_F(TensorBoard, TheFirstRecordNamesTheVersion) {
  const double before = unix_seconds();
  const TensorBoardEvents events(folder_ / "new" / "folder");
  const auto read = read_events(events.path());
  ASSERT_THAT(read, SizeIs(1));
  EXPECT_EQ(read[0].file_version, "brain.Event:2");
  EXPECT_GE(read[0].wall_time, before);
  EXPECT_LE(read[0].wall_time, unix_seconds());
  EXPECT_THAT(events.path().filename().string(),
              MatchesRegex("events\\.out\\.tfevents\\.[0-9]{10}\\..+\\.[0-9]+\\.0"));
}

TEST_F(TensorBoard, Scalars) {
  TensorBoardEvents events(folder_);
  events.scalars(1, {{"train/loss", 0.25}, {"train/lr", 2e-5}});
  events.scalars(int64_t{1} << 40, {{"train/loss", NAN}});
  const auto read = read_events(events.path());
  ASSERT_THAT(read, SizeIs(3));
  EXPECT_EQ(read[1].step, 1);
  EXPECT_THAT(read[1].scalars, UnorderedElementsAre(Pair("train/loss", 0.25f), Pair("train/lr", 2e-5f)));
  EXPECT_EQ(read[2].step, int64_t{1} << 40);
  EXPECT_TRUE(std::isnan(read[2].scalars.at("train/loss")));
}

TEST_F(TensorBoard, Images) {
  const std::string png = encode_png(Image(2, 300, 7));
  TensorBoardEvents events(folder_);
  events.image(20, "samples", png);
  const auto read = read_events(events.path()).back();
  EXPECT_EQ(read.step, 20);
  EXPECT_EQ(read.images.at("samples").height, 2);
  EXPECT_EQ(read.images.at("samples").width, 300);
  EXPECT_EQ(read.images.at("samples").colorspace, 3);
  EXPECT_EQ(read.images.at("samples").png, png);
}

TEST_F(TensorBoard, RefusesWhatIsNoPng) {
  TensorBoardEvents events(folder_);
  const std::string png = encode_png(Image(2, 2));
  EXPECT_THAT(refusal([&] { events.image(1, "samples", "\xFF\xD8\xFF"); }), HasSubstr("'samples'"));
  EXPECT_THAT(refusal([&] { events.image(1, "samples", png.substr(0, 20)); }), HasSubstr("'samples'"));
  EXPECT_THAT(read_events(events.path()), SizeIs(1)) << "nothing was written";
}

TEST_F(TensorBoard, Texts) {
  TensorBoardEvents events(folder_);
  events.text(3, "run", "seed: **1**, grüße");
  events.text(3, "run", "bad \xFF byte, cut \xC3");
  const auto read = read_events(events.path());
  EXPECT_EQ(read[1].texts.at("run"), "seed: **1**, grüße");
  EXPECT_EQ(read[2].texts.at("run"), "bad \xEF\xBF\xBD byte, cut \xEF\xBF\xBD");
}

TEST_F(TensorBoard, ARestartIsASessionThatStarts) {
  TensorBoardEvents events(folder_);
  events.restart_at(21);
  const auto read = read_events(events.path()).back();
  EXPECT_EQ(read.step, 21);
  EXPECT_EQ(read.session_status, 1);
}

TEST_F(TensorBoard, EachWriterHasAFileOfItsOwnThatComesLast) {
  const std::string later = "events.out.tfevents.4000000000.host.1.0";  // the clock was set back since
  const auto torn = write(later, "half a reco");
  const fs::path second = TensorBoardEvents(folder_).path(), third = TensorBoardEvents(folder_).path();
  EXPECT_THAT(event_files(folder_), ::testing::ElementsAre(torn, second, third));
  EXPECT_EQ(read(torn), "half a reco");
}

TEST_F(TensorBoard, WhatIsWrittenIsThereAtOnce) {
  TensorBoardEvents events(folder_);
  for (int64_t step = 1; step <= 3; ++step) {
    events.scalars(step, {{"loss", 1}});
    EXPECT_EQ(read_events(events.path()).back().step, step);
  }
  events.sync();
}

TEST_F(TensorBoard, NamesAFolderThatCannotBe) {
  const auto file = write("file", "");
  try {
    TensorBoardEvents events(file / "inside");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("file"));
  }
}

TEST(EventReader, NoticesDamage) {  // else the tests above would prove little
  const fs::path folder = fs::path(::testing::TempDir()) / "pixart_event_reader";
  fs::remove_all(folder);
  fs::path path;
  {
    TensorBoardEvents events(folder);
    events.scalars(1, {{"loss", 1}});
    path = events.path();
  }
  std::ifstream stream(path, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(stream), {}};
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = char(damaged[at] ^ 4);
    std::ofstream(path, std::ios::binary) << damaged;
    EXPECT_ANY_THROW(read_events(path)) << "byte " << at;
  }
  fs::resize_file(path, whole.size() - 1);
  EXPECT_ANY_THROW(read_events(path));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace pixart::formats
