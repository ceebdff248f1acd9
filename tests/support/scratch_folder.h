// A scratch folder, and what a refusal says.
#pragma once
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::testing {

class ScratchFolder : public ::testing::Test {
 protected:
  ScratchFolder()
      : folder_(std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_test_{}", process_id())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ScratchFolder() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  static std::string read(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::filesystem::path folder_;
};

// The message of the UserError that `work` throws; a success is reported as a failed test.
template <class Work>
std::string refusal(Work work) {
  try {
    work();
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

}  // namespace pixart::testing
