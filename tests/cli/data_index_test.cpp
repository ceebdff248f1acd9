// pixart data index, as a user would give it, killed and on a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;

class DataIndex : public ::testing::Test {
 protected:
  DataIndex() {
    fs::create_directories(data_);  // each command writes its output into folder_
    formats::save_png(data_ / "0.png", Image(3, 4, 9));
    std::string rows;
    for (int i = 0; i < kRows; ++i) {
      if (i > 0) fs::create_hard_link(data_ / "0.png", data_ / fmt::format("{}.png", i));
      rows += fmt::format("{{\"image\": \"{0}.png\", \"caption\": \"caption {0}\"}}\n", i);
    }
    write_text(data_ / "rows.jsonl", rows);
  }
  ProcessResult index(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"data", "index", "data/rows.jsonl"});
    return run_pixart(arguments, folder_.path());
  }
  // The JSON is at the end of the output.
  nlohmann::json report(std::vector<std::string> arguments = {}) const {
    arguments.push_back("--json");
    const auto result = index(std::move(arguments));
    EXPECT_EQ(result.code, 0) << result.output;
    const size_t begin = result.output.find("[\n");
    return begin == std::string::npos ? nlohmann::json()
                                      : nlohmann::json::parse(result.output.substr(begin))[0];
  }
  static constexpr int kRows = 400;
  TemporaryFolder folder_;
  const fs::path data_ = folder_ / "data";
};

TEST_F(DataIndex, IsMadeOnceAndCompared) {
  const auto made = report(), known = report(), compared = report({"--verify"});
  EXPECT_EQ(made["rows"], kRows);
  EXPECT_TRUE(made["is_new"]);
  EXPECT_FALSE(known["is_new"]);
  EXPECT_EQ(compared["difference"], "");
  EXPECT_TRUE(std::string(made["file"]).starts_with((folder_ / ".cache/pixart/index").string()));
  const auto shown = index();
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output, AllOf(HasSubstr("rows: 400 rows in"), HasSubstr("up to date")));
}

TEST_F(DataIndex, VerifyFindsWhatAStartDoesNotLookAt) {
  fs::remove(data_ / "7.png");
  formats::save_png(data_ / "7.png", Image(3, 4, 9));
  report();
  fs::resize_file(data_ / "7.png",
                  fs::file_size(data_ / "7.png") + 1);  // in place; a start looks at every other image
  EXPECT_FALSE(report()["is_new"]);
  const auto result = index({"--verify"});
  EXPECT_EQ(result.code, int(ExitCode::kBadInput)) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("row 7 (7.png)"), HasSubstr("makes it anew")));
  EXPECT_TRUE(report()["is_new"]);
  EXPECT_EQ(index({"--verify"}).code, 0);
}

TEST_F(DataIndex, AKilledWriterLeavesNothingHalf) {
  const auto whole = report();
  const fs::path file = std::string(whole["file"]);
  for (int trial = 0; trial < 5; ++trial) {
    fs::remove(file);
    Process process({"data", "index", "data/rows.jsonl"}, folder_.path());
    std::this_thread::sleep_for(std::chrono::milliseconds(20 * trial));
    process.kill(SIGKILL);
    process.wait();
    if (fs::exists(file)) {
      EXPECT_FALSE(report()["is_new"]) << "it is whole";
    }
    EXPECT_EQ(report()["rows"], kRows);
  }
}

TEST_F(DataIndex, AFullDiskCostsOnlyTheIndex) {
  const auto full = run_pixart({"data", "index", "data/rows.jsonl"}, folder_.path(), 4096);
  EXPECT_EQ(full.code, int(ExitCode::kStorage)) << full.output;
  EXPECT_THAT(full.output, HasSubstr("its index is not kept"));
  EXPECT_TRUE(report()["is_new"]);
}

TEST_F(DataIndex, OtherSourcesNeedNone) {
  const auto result =
      run_pixart({"data", "index", "drawn", "--type", "scenes", "--set", "count=3"}, folder_.path());
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("needs no index"));
}

}  // namespace
}  // namespace pixart::testing
