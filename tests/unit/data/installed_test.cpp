// The sources on real data of Debian packages, where they are installed; elsewhere the test says that it ran
// without.
#include <iostream>

#include "folder.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;

TEST(InstalledData, StampsAndFashionAreRead) {
  const fs::path stamps = "/usr/share/tuxpaint/stamps", fashion = "/usr/share/datasets/fashion-mnist";
  SourceConfig config;
  config.name = "real";
  if (fs::is_directory(stamps)) {
    config.path = stamps;
    config.missing_caption = MissingCaption::kSkip;
    config.missing_caption_share = 1;
    const auto dataset = open_dataset(config);
    EXPECT_GT(dataset->size(), 500);
    for (int64_t i = 0; i < dataset->size(); ++i)
      EXPECT_EQ(dataset->caption(i).find(".utf8="), std::string::npos) << dataset->caption(i);
    for (int64_t i = 0; i < dataset->size(); i += 97) EXPECT_GT(dataset->image(i).height, 0);
  } else {
    std::cout << "ran without tuxpaint-stamps-default\n";
  }
  if (fs::is_directory(fashion)) {
    config = {};
    config.type = "idx";
    config.path = fashion;
    const auto dataset = open_dataset(config);
    EXPECT_EQ(dataset->size(), 60000);
    EXPECT_EQ(dataset->image(0).height, 28);
    EXPECT_EQ(dataset->caption(0), "Ankle boot");
  } else {
    std::cout << "ran without dataset-fashion-mnist\n";
  }
}

}  // namespace
}  // namespace pixart::data
