#include "pixart/run/checkpoint_folder.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pixart/base/file.h"
#include "pixart/formats/safetensors.h"
#include "scratch_folder.h"
#include "time_limit.h"

namespace pixart::run {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

CheckpointContent content(int64_t step) {
  const at::Tensor weight = at::arange(192, at::kFloat).view({12, 16}) + double(step);
  return {.step = step,
          .files = {{"model", {{"weight", weight}, {"bias", at::ones(2) * double(step)}}},
                    {"optimizer", {{"exp_avg.weight", weight * 2}}}},
          .metadata = {{"architecture", "line"}},
          .state = "{\"step\": " + std::to_string(step) + "}\n"};
}

class CheckpointFolder : public testing::ScratchFolder {
 protected:
  fs::path save(int64_t step) const {
    write_checkpoint(folder_, content(step));
    return folder_ / fmt::format("step-{:08d}", step);
  }
  void write(const std::string& name, const std::string& bytes) const {
    fs::create_directories((folder_ / name).parent_path());
    ScratchFolder::write(name, bytes);
  }
  std::vector<int64_t> steps() const {
    std::vector<int64_t> steps;
    for (const auto& checkpoint : list_checkpoints(folder_)) steps.push_back(checkpoint.step);
    return steps;
  }
  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

using ::testing::ElementsAre;
using Steps = std::vector<int64_t>;

// What a report about byte `at` of a weight file must name.
std::string part_at(const fs::path& file, const formats::SafetensorsHeader& header, uint64_t at) {
  for (const auto& [name, info] : header.tensors)
    if (at >= header.data_offset + info.begin && at < header.data_offset + info.end) return "tensor " + name;
  EXPECT_LT(at, header.data_offset) << file;
  return "its header";
}

TEST_F(CheckpointFolder, EveryFlippedBitIsDetectedAndItsTensorNamed) {
  const fs::path folder = save(1);
  ASSERT_TRUE(verify_checkpoint(folder).is_good());
  int64_t flips = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename(), good = read(entry.path());
    const bool has_tensors = entry.path().extension() == ".safetensors";
    formats::SafetensorsHeader header;
    if (has_tensors) header = formats::read_safetensors_header(entry.path());
    const int file = ::open(entry.path().c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    for (uint64_t at = 0; at < good.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        const char bad = char(good[at] ^ (1 << bit));
        ASSERT_EQ(::pwrite(file, &bad, 1, off_t(at)), 1);
        const std::string problem = verify_checkpoint(folder).text;
        ++flips;
        ASSERT_NE(problem, "") << name << " byte " << at << " bit " << bit;
        // A manifest whose version becomes a newer one cannot be judged further.
        const bool is_named = problem.find(name) != std::string::npos ||
                              (name == "manifest.json" && problem.find("newer version") != std::string::npos);
        ASSERT_TRUE(is_named) << name << " byte " << at << " bit " << bit << ": " << problem;
        if (has_tensors) {
          ASSERT_NE(problem.find("differs: " + part_at(entry.path(), header, at) + ")"), std::string::npos)
              << problem;
        }
      }
      ASSERT_EQ(::pwrite(file, &good[at], 1, off_t(at)), 1);
    }
    ::close(file);
  }
  EXPECT_TRUE(verify_checkpoint(folder).is_good());
  std::printf("%ld bits flipped\n", long(flips));
  EXPECT_GT(flips, 8 * 1000);
}

TEST_F(CheckpointFolder, EveryCutIsDetected) {
  const fs::path folder = save(1);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename(), good = read(entry.path());
    for (uint64_t size = good.size(); size-- > 0;) {
      fs::resize_file(entry.path(), size);
      const std::string problem = verify_checkpoint(folder).text;
      ASSERT_NE(problem.find(name), std::string::npos) << name << " cut to " << size << ": " << problem;
    }
    write(folder.filename().string() + "/" + name, good + "x");
    EXPECT_THAT(verify_checkpoint(folder).text, HasSubstr(name));
    write(folder.filename().string() + "/" + name, good);
    ASSERT_TRUE(verify_checkpoint(folder).is_good());
  }
  fs::resize_file(folder / "model.safetensors", fs::file_size(folder / "model.safetensors") - 1);
  EXPECT_THAT(verify_checkpoint(folder).text,
              AllOf(HasSubstr("model.safetensors does not have its saved size"),
                    HasSubstr("cut off in tensor weight")));
  fs::remove(folder / "model.safetensors");
  EXPECT_THAT(verify_checkpoint(folder).text, HasSubstr("model.safetensors is missing"));
  EXPECT_FALSE(newest_good_checkpoint(folder_).has_value());
}

TEST_F(CheckpointFolder, FilesOfTwoCheckpointsDoNotMix) {
  const fs::path first = save(1), second = save(2);
  fs::copy_file(first / "optimizer.safetensors", second / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(verify_checkpoint(second).text,
              AllOf(HasSubstr("optimizer.safetensors"), HasSubstr("tensor exp_avg.weight")));
  fs::remove_all(second);
  fs::copy(first, second);
  EXPECT_THAT(verify_checkpoint(second).text, HasSubstr("belongs to step 1"));
}

TEST_F(CheckpointFolder, FallsBackToTheOneBefore) {
  for (int64_t step : {1, 2, 3}) save(step);
  fs::remove(folder_ / "step-00000003" / "manifest.json");
  EXPECT_EQ(newest_good_checkpoint(folder_)->step, 2);
  fs::create_directories(folder_ / "step-00000009.old");
  write("step-00000010", "a file");
  EXPECT_EQ(steps(), (Steps{1, 2, 3}));
}

TEST_F(CheckpointFolder, SavingAStepAgainReplacesIt) {
  const fs::path folder = save(1);
  fs::resize_file(folder / "model.safetensors", 10);
  for (int again = 0; again < 2; ++again) save(1);
  EXPECT_TRUE(verify_checkpoint(folder).is_good());
  EXPECT_THAT(entries(), ElementsAre(".bad-step-00000001-1", "step-00000001")) << "the damaged one is kept";
  EXPECT_EQ(fs::file_size(folder_ / ".bad-step-00000001-1" / "model.safetensors"), 10u);
}

// Reading this fails with EIO, whoever reads.
void make_unreadable(const fs::path& checkpoint) {
  fs::remove(checkpoint / "manifest.json");
  fs::create_symlink("/proc/self/mem", checkpoint / "manifest.json");
}

TEST_F(CheckpointFolder, WhatCannotBeReadIsNotFallenBackFrom) {
  for (int64_t step : {1, 2}) save(step);
  make_unreadable(folder_ / "step-00000002");
  EXPECT_EQ(verify_checkpoint(folder_ / "step-00000002").verdict, Verdict::kUnreadable);
  try {
    newest_good_checkpoint(folder_);
    ADD_FAILURE() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("step-00000002/manifest.json"), HasSubstr("Input/output error")));
  }
  EXPECT_EQ(steps(), (Steps{1, 2}));
}

TEST_F(CheckpointFolder, TheDamagedOnesAreSaid) {
  for (int64_t step : {1, 2, 3}) save(step);
  fs::remove(folder_ / "step-00000003" / "state.json");
  fs::remove(folder_ / "step-00000001" / "state.json");
  auto search = find_checkpoint(folder_);
  EXPECT_EQ(search.newest->step, 2);
  EXPECT_THAT(search.damaged, ElementsAre("step-00000003: state.json is missing"));
  EXPECT_EQ(newest_good_checkpoint(folder_, "model.safetensors")->step, 3) << "this file is good";
  search = find_unread_checkpoint(folder_);
  EXPECT_EQ(search.newest->step, 2);
  EXPECT_THAT(search.damaged, ElementsAre("step-00000003: state.json is missing"));
  std::string bytes = read_file(folder_ / "step-00000002/model.safetensors");
  bytes.back() = char(bytes.back() ^ 4);
  write("step-00000002/model.safetensors", bytes);
  EXPECT_EQ(find_unread_checkpoint(folder_).newest->step, 2) << "whoever loads it compares its content";
  EXPECT_FALSE(find_checkpoint(folder_).newest);
  fs::remove_all(folder_ / "step-00000002");
  fs::create_directory_symlink("moved", folder_ / "step-00000002");
  search = find_checkpoint(folder_);
  EXPECT_FALSE(search.newest);
  EXPECT_EQ(search.damaged.size(), 3u);
}

TEST_F(CheckpointFolder, ACopyUnderAnotherNameIsDamagedAndNotTheNewest) {
  EXPECT_FALSE(newest_named_checkpoint(folder_));
  for (int64_t step : {1, 3}) save(step);
  EXPECT_EQ(newest_named_checkpoint(folder_)->step, 3);
  for (const char* name : {"step-00000007", "step-00000009"})
    fs::copy(folder_ / "step-00000003", folder_ / name);
  EXPECT_EQ(newest_named_checkpoint(folder_)->step, 3);
  const auto search = find_checkpoint(folder_);
  EXPECT_EQ(search.newest->step, 3);
  EXPECT_THAT(search.damaged, ElementsAre("step-00000009: manifest.json belongs to step 3",
                                          "step-00000007: manifest.json belongs to step 3"));
  save(8);
  fs::remove(folder_ / "step-00000008" / "manifest.json");
  EXPECT_EQ(newest_named_checkpoint(folder_)->step, 8) << "it is damaged, and may be of this step";
}

TEST_F(CheckpointFolder, APartOfAnotherKindIsNotCalledMissing) {
  const testing::TimeLimit limit(20);
  const std::vector<std::pair<std::string, std::function<void(const fs::path&)>>> kinds = {
      {"a folder", [](const fs::path& part) { fs::create_directory(part); }},
      {"a link to itself", [](const fs::path& part) { fs::create_symlink(part.filename(), part); }},
      {"a pipe", [](const fs::path& part) { ASSERT_EQ(::mkfifo(part.c_str(), 0600), 0); }},
      {"a device", [](const fs::path& part) { fs::create_symlink("/dev/null", part); }}};
  for (const auto& [kind, make] : kinds)
    for (const std::string part : {"manifest.json", "model.safetensors", "state.json"}) {
      const fs::path folder = save(1);
      fs::remove(folder / part);
      make(folder / part);
      const auto found = verify_checkpoint(folder);
      EXPECT_EQ(found.verdict, Verdict::kDamaged) << kind;
      EXPECT_EQ(found.text, part + " is not a regular file") << kind;
      fs::remove_all(folder);
    }
}

TEST_F(CheckpointFolder, StrayFilesDoNoHarmAndAreSaid) {
  const fs::path folder = save(1);
  write("step-00000001/optimizer.txt", "x");
  EXPECT_TRUE(verify_checkpoint(folder).is_good());
  EXPECT_THAT(verify_checkpoint(folder).unnamed, ElementsAre("optimizer.txt"));
  EXPECT_THAT(find_checkpoint(folder_).unnamed, ElementsAre("optimizer.txt"));
}

TEST_F(CheckpointFolder, OnlyGoodOnesAreDeleted) {
  for (int64_t step = 1; step <= 6; ++step) save(step);
  make_unreadable(folder_ / "step-00000001");
  write("step-00000002/state.json", "{\"step\": 3}\n");  // same size
  fs::remove(folder_ / "step-00000003" / "state.json");
  std::set<int64_t> good = {3, 4, 5, 6};
  for (int again = 0; again < 2; ++again) prune_checkpoints(folder_, {.keep_last = 2}, good);
  EXPECT_THAT(entries(), ElementsAre(".bad-step-00000002-1", ".bad-step-00000003-1", "step-00000001",
                                     "step-00000005", "step-00000006"));
  save(2);
  fs::remove(folder_ / "step-00000002" / "state.json");
  EXPECT_EQ(set_aside(folder_ / "step-00000002").filename(), ".bad-step-00000002-2");
}

// Notes of the user, a plot, a copy of an optimizer: no hash proves that they are ours.
TEST_F(CheckpointFolder, FilesOfTheUserInAnOldOneAreKept) {
  for (int64_t step = 1; step <= 4; ++step) save(step);
  write("step-00000001/notes.txt", "thesis");
  write("step-00000002/plots/loss.svg", "thesis");
  std::set<int64_t> good = {1, 2, 3, 4};
  for (int again = 0; again < 2; ++again) prune_checkpoints(folder_, {.keep_last = 2}, good);
  EXPECT_THAT(entries(), ElementsAre(".kept-step-00000001-1", ".kept-step-00000002-1", "step-00000003",
                                     "step-00000004"));
  EXPECT_EQ(read_file(folder_ / ".kept-step-00000001-1/notes.txt"), "thesis");
  write("step-00000004/notes.txt", "thesis");
  save(4);  // again, as after a restart
  EXPECT_EQ(read_file(folder_ / ".kept-step-00000004-1/notes.txt"), "thesis");
  EXPECT_TRUE(verify_checkpoint(folder_ / "step-00000004").unnamed.empty());
}

TEST_F(CheckpointFolder, LeftoversGoAndLookAlikesStay) {
  save(1);
  const std::string nonce = "-0123456789abcdef";
  for (const char* name : {".tmp-step-00000002", ".del-step-00000002", ".tmp-.tmp-share-00000002-1"})
    write(name + nonce + "/model.safetensors", "cut");
  write(".tmp-share-00000002-1/manifest.json", "{}");
  write(".tmp-step-00000003" + nonce + "/.tmp-state.json" + nonce, "cut");
  const std::vector<std::string> foreign = {".tmp-step-00000002-1123456789abcdef/thesis.tex",
                                            ".del-step-00000002-1123456789abcdef/model.safetensors.d/x",
                                            ".tmp-share-00000002-2/notes.txt",
                                            ".tmp-step-2" + nonce + "/model.safetensors",
                                            ".bad-step-00000001-1/model.safetensors",
                                            ".tmp-work/model.safetensors"};
  for (const auto& name : foreign) write(name, "thesis");
  remove_checkpoint_leftovers(folder_);
  EXPECT_EQ(entries().size(), foreign.size() + 1);
  for (const auto& name : foreign) EXPECT_EQ(read_file(folder_ / name), "thesis") << name;
}

TEST_F(CheckpointFolder, PrunesAllButTheLastAndTheKept) {
  for (int64_t step = 0; step <= 9; ++step) save(step);
  std::set<int64_t> good;
  prune_checkpoints(folder_, {.keep_last = 2, .keep_every = 4, .keep_steps = {3}}, good);
  EXPECT_EQ(steps(), (Steps{3, 4, 8, 9}));
  EXPECT_EQ(good, (std::set<int64_t>{8, 9}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 4);
}

TEST_F(CheckpointFolder, BrokenOnesDoNotCountAsTheLastTwo) {
  for (int64_t step = 1; step <= 6; ++step) save(step);
  std::set<int64_t> good = {6, 5};
  fs::remove(folder_ / "step-00000005" / "state.json");  // known, not whole
  write("step-00000004/state.json", "{\"step\": 5}\n");  // same size
  prune_checkpoints(folder_, {.keep_last = 2}, good);
  EXPECT_EQ(steps(), (Steps{3, 4, 5, 6}));
}

}  // namespace
}  // namespace pixart::run
