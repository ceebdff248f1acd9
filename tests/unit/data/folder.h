// A scratch folder with small sources, and what a refusal says.
#pragma once
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/data/dataset.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

class Folder : public ::testing::Test {
 protected:
  Folder()
      : folder_(std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_data_{}", process_id())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~Folder() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  // A PNG of one gray.
  void image(const std::string& name, uint8_t gray = 0, int height = 3, int width = 4) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    formats::save_png(folder_ / name, Image(height, width, gray));
  }
  void captioned(const std::string& stem, const std::string& text) const {
    image(stem + ".png");
    write(stem + ".txt", text);
  }

  std::filesystem::path folder_;
};

// The message of the UserError that opening throws; a success is reported as a failed test.
inline std::string refusal(const SourceConfig& config) {
  try {
    open_dataset(config);
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

inline std::vector<std::string> keys_of(const Dataset& dataset) {
  std::vector<std::string> keys;
  for (int64_t i = 0; i < dataset.size(); ++i) keys.push_back(dataset.row(i).key);
  return keys;
}

// "key reason" of each sample that the listing rejects.
inline std::vector<std::string> rejected_of(const Dataset& dataset) {
  std::vector<std::string> lines;
  for (const auto& rejection : dataset.rejected())
    lines.push_back(rejection.key + " " + std::string(to_string(rejection.reason)));
  return lines;
}

}  // namespace pixart::data
