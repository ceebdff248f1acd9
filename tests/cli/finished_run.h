// One finished run for all tests of the program that includes it.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "process.h"

namespace pixart::testing {

class FinishedRun : public ::testing::Test {
 protected:
  // In folders that the run uses, called as if something of ours were unfinished.
  static std::vector<std::string> names_of_others() {
    return {
        "run/.tmp-work/thesis.tex",
        "run/.del-old/letter.txt",
        "run/.tmp-thesis.tex",
        "run/checkpoints/text/.tmp-work/thesis.tex",
        "run/features/.tmp-work/thesis.tex",
        "run/features/scenes-captions/.tmp-thesis.tex",
        "run/features/scenes-captions/.lock-mine",
    };
  }
  static void SetUpTestSuite() {
    if (folder_) return;  // for another suite
    folder_ = std::make_unique<TemporaryFolder>();
    write_text(*folder_ / "run.yaml", tiny_run_yaml());
    for (const auto& name : names_of_others()) {
      std::filesystem::create_directories((*folder_ / name).parent_path());
      write_text(*folder_ / name, "thesis");
    }
    result_ = run_pixart({"train", "run.yaml"}, folder_->path());
  }
  static ProcessResult pixart(const std::vector<std::string>& arguments) {
    return run_pixart(arguments, folder_->path());
  }
  static std::filesystem::path path(const std::string& name) { return *folder_ / name; }
  static std::string text_of(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static ProcessResult result_;  // of its training
};

}  // namespace pixart::testing
