#include "pixart/base/leftovers.h"

#include <gmock/gmock.h>

#include <fstream>

#include "pixart/base/env.h"
#include "pixart/base/file.h"

namespace pixart {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kNonce = "-0123456789abcdef";

class Leftovers : public ::testing::Test {
 protected:
  Leftovers()
      : folder_(fs::path(::testing::TempDir()) / ("pixart_leftovers_" + std::to_string(process_id()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "here");
  }
  ~Leftovers() override { fs::remove_all(folder_); }

  void file(const std::string& name) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << "thesis";
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "here"))
      names.push_back(entry.path().lexically_relative(folder_ / "here"));
    std::sort(names.begin(), names.end());
    return names;
  }
  void remove() const { remove_leftovers(folder_ / "here", own_); }

  fs::path folder_;
  OwnNames own_ = {.files = {R"(run\.yaml)"},
                   .folders = {"step-[0-9]{8}"},
                   .in_folders = all_but({"f", "inner/f"}),
                   .passing_files = {R"(\.lock)"},
                   .passing_folders = {R"(\.tmp-share-[0-9]+)"}};
};

TEST_F(Leftovers, OfOurOwnNamesGo) {
  file("here/.tmp-run.yaml" + kNonce);
  file("here/.tmp-step-00000012" + kNonce + "/inner/f");
  file("here/.del-step-00000012" + kNonce + "/f");
  file("here/.lock");
  file("here/.tmp-share-3/f");
  file("here/run.yaml");
  remove();
  EXPECT_THAT(names(), ElementsAre("run.yaml"));
  EXPECT_NO_THROW(remove_leftovers(folder_ / "missing", own_));
}

TEST_F(Leftovers, WhatOthersCalledSoStays) {
  const std::vector<std::string> foreign = {".tmp-work/thesis.tex",
                                            ".tmp-/f",
                                            ".del-old/f",
                                            ".tmp-run.yaml",
                                            ".tmp-run.yaml-0123",
                                            ".tmp-run.yaml-0123456789abcdeg",
                                            ".tmp-run.yaml-0123456789ABCDEF",
                                            ".tmp-run.yaml0123456789abcdef",
                                            ".tmp-run.yaml" + kNonce + ".bak",
                                            ".tmp-runs.yaml" + kNonce,
                                            ".tmp-my-run.yaml" + kNonce,
                                            ".tmp-thesis" + kNonce + "/f",
                                            ".tmp-" + kNonce,
                                            ".tmp-0123456789abcdef",
                                            "x.tmp-run.yaml" + kNonce,
                                            ".del-step-1" + kNonce + "/f",
                                            ".tmp-share-3b/f",
                                            ".lock-mine"};
  for (const auto& name : foreign) file("here/" + name);
  const auto before = names();
  remove();
  EXPECT_EQ(names(), before);
}

// The name alone proves nothing.
TEST_F(Leftovers, WithAFileOfOthersInsideStay) {
  file("here/.tmp-step-00000012" + kNonce + "/f");
  file("here/.tmp-step-00000012" + kNonce + "/inner/thesis.tex");
  file("here/.tmp-share-3/notes.txt");
  const auto before = names();
  remove();
  EXPECT_EQ(names(), before);
}

TEST_F(Leftovers, OfTheOtherKindStay) {
  file("here/.tmp-run.yaml" + kNonce + "/f");  // ours is a file
  file("here/.tmp-step-00000012" + kNonce);    // ours is a folder
  file("here/.lock/f");
  const auto before = names();
  remove();
  EXPECT_EQ(names(), before);
}

TEST_F(Leftovers, LinksAreNotFollowed) {
  file("elsewhere/thesis.tex");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / ("here/.tmp-step-00000012" + kNonce));
  fs::create_symlink(folder_ / "elsewhere/thesis.tex", folder_ / ("here/.tmp-run.yaml" + kNonce));
  fs::create_symlink("nowhere", folder_ / "here/.lock");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "here/.tmp-work");
  remove();
  EXPECT_THAT(names(), ElementsAre(".tmp-work"));
  EXPECT_EQ(read_file(folder_ / "elsewhere/thesis.tex"), "thesis");
}

TEST_F(Leftovers, OfALinkedFileStayInsideTheFolder) {
  file("elsewhere/thesis.tex");
  file("here/.tmp-step-00000012" + kNonce + "/f");
  fs::create_directories(folder_ / ("here/.tmp-step-00000012" + kNonce + "/inner"));
  fs::create_symlink(folder_ / "elsewhere/thesis.tex",
                     folder_ / ("here/.tmp-step-00000012" + kNonce + "/inner/f"));
  remove();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(read_file(folder_ / "elsewhere/thesis.tex"), "thesis");
}

// What is made now is known by name again.
TEST_F(Leftovers, AreWhatFilesAndFoldersMake) {
  AtomicFile lost(folder_ / "here/run.yaml");
  const StagedFolder staged(folder_ / "here/step-00000012");
  EXPECT_EQ(find_leftovers(folder_ / "here", own_).size(), 2u);
  EXPECT_THAT(find_leftovers(folder_ / "here", {}), IsEmpty());
}

}  // namespace
}  // namespace pixart
