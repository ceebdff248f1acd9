#include "pixart/base/gpu_driver.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "scratch_folder.h"

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class GpuDriver : public testing::ScratchFolder {
 protected:
  GpuDriver() { ::setenv("PIXART_DRIVER_VERSION_FILE", file_.c_str(), 1); }
  ~GpuDriver() override {
    ::unsetenv("PIXART_DRIVER_VERSION_FILE");
    ::unsetenv("PIXART_DRIVER_FILE");
  }
  void write_text(const std::string& text) const { write("version", text); }
  void write_version(const std::string& version) const {
    write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  " + version +
               "  Thu Oct 19 18:56:32 UTC 2023\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
  }

  const std::string file_ = (folder_ / "version").string();
};

TEST_F(GpuDriver, IsPresentIfItsFileIs) {
  ::setenv("PIXART_DRIVER_FILE", file_.c_str(), 1);
  EXPECT_FALSE(gpu_driver_present());
  write_text("");
  EXPECT_TRUE(gpu_driver_present());
}

TEST_F(GpuDriver, VersionOfBothKindsOfModules) {
  EXPECT_EQ(gpu_driver_version(), std::nullopt);
  write_text("GCC version:  gcc version 12.2.0\n");
  EXPECT_EQ(gpu_driver_version(), std::nullopt);
  write_version("535.129.03");
  EXPECT_EQ(gpu_driver_version(), "535.129.03");
  write_text(
      "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (dvs-builder@U22)  "
      "Wed\n");
  EXPECT_EQ(gpu_driver_version(), "580.82.07");
}

TEST_F(GpuDriver, KnowsTheNewestCuda) {
  for (const auto& [driver, cuda] : {std::pair{"440.33", 0},
                                     {"450.51", 11},
                                     {"524.9", 11},
                                     {"525.60.13", 12},
                                     {"575.51", 12},
                                     {"580.65.06", 13},
                                     {"610.1", 13}})
    EXPECT_EQ(newest_cuda_of_driver(driver), cuda) << driver;
}

TEST_F(GpuDriver, SaysWhatATooOldOneNeeds) {
  EXPECT_EQ(gpu_driver_problem(13000), "") << "its version is not known";
  write_version("550.54.15");
  EXPECT_EQ(gpu_driver_problem(12080), "");
  EXPECT_THAT(gpu_driver_problem(13020), AllOf(HasSubstr("550.54.15"), HasSubstr("CUDA 13.2"),
                                               HasSubstr("580 or newer"), HasSubstr("PIXART_TORCH_INDEX")));
  write_version("470.57.02");
  EXPECT_THAT(gpu_driver_problem(12060), AllOf(HasSubstr("525 or newer"), Not(HasSubstr("INDEX"))));
  write_version("580.82.07");
  EXPECT_EQ(gpu_driver_problem(13020), "");
  EXPECT_EQ(gpu_driver_problem(14000), "") << "what a later CUDA needs is not known";
}

}  // namespace
}  // namespace pixart
