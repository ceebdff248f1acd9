#include "pixart/nn/device.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::nn {
namespace {

bool has_driver() { return std::filesystem::exists("/dev/nvidiactl") || std::filesystem::exists("/dev/dxg"); }

TEST(SelectDevice, CpuIsAlwaysThere) { EXPECT_TRUE(select_device("cpu").is_cpu()); }

TEST(SelectDevice, AutoIsTheCpuWithoutADriver) {
  const auto device = select_device("auto");
  if (!has_driver()) {
    EXPECT_TRUE(device.is_cpu());
  }
}

TEST(SelectDevice, AMissingGpuIsADeviceErrorWithTheRemedy) {
  for (const char* name : {"cuda", "cuda:0", "cuda:99"}) {
    if (has_driver() && std::string(name) != "cuda:99") continue;
    try {
      select_device(name);
      ADD_FAILURE() << name;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kDevice);
      EXPECT_THAT(error.what(),
                  ::testing::AllOf(::testing::HasSubstr(name), ::testing::HasSubstr("device: cpu")));
    }
  }
}

TEST(SelectDevice, AnUnknownNameIsBadInput) {
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1234", "CPU"}) {
    try {
      select_device(name);
      ADD_FAILURE() << name;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput) << name;
    }
  }
}

TEST(PciBusId, ACpuHasNone) { EXPECT_EQ(pci_bus_id(at::kCPU), std::nullopt); }

TEST(SetNumThreads, ZeroMeansThePhysicalCores) {
  set_num_threads(1);
  EXPECT_EQ(at::get_num_threads(), 1);
  set_num_threads(0);
  EXPECT_EQ(at::get_num_threads(), physical_cores());
}

}  // namespace
}  // namespace pixart::nn
