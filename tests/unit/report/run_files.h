// Run folders of a few lines for the tests of `report`.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include "scratch_folder.h"

namespace pixart::testing {

class RunFolderTest : public ScratchFolder {
 protected:
  std::filesystem::path put(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    return write(name, bytes);
  }

  // A process that trains stage "text" from step `first` to `last` and ends as `reason` says ("": killed).
  static std::string process(int hour, int first, int last, const std::string& reason,
                             const std::string& energy = "") {
    const auto line = [&](int minute, const std::string& kind, const std::string& rest) {
      return fmt::format("{{\"time\":\"2026-03-02T{:02}:{:02}:00Z\",\"kind\":\"{}\"{}}}\n", hour, minute,
                         kind, rest);
    };
    const auto at = [](int step) { return fmt::format(",\"stage\":\"text\",\"step\":{}", step); };
    std::string text =
        line(0, "start", ",\"host\":\"node\",\"device\":\"A100\",\"devices\":2,\"version\":\"0.1.0\"");
    text += line(1, "stage", at(first) + ",\"parameters\":1000,\"trained_parameters\":20,\"batch_size\":4");
    text += line(20, "interval", at(last) + ",\"seconds\":1140,\"images_per_second\":50" + energy);
    text += line(25, "save", at(last)) + line(26, "samples", at(last));
    if (!reason.empty())
      text += line(30, "stop", at(last) + ",\"reason\":\"" + reason + "\",\"message\":\"<b>why</b>\"");
    return text;
  }
};

}  // namespace pixart::testing
