#include "pixart/nn/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <functional>

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

// A driver without a usable GPU: training of several ranks or in bfloat16 does not go on on the CPU by
// itself.
TEST(SelectDevice, AutoSaysWhyItTakesTheCpu) {
  if (has_driver()) return;
  ::setenv("PIXART_DRIVER_FILE", "/dev/null", 1);
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(select_device("auto").is_cpu());
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      ::testing::AllOf(::testing::HasSubstr("device auto: "), ::testing::HasSubstr("The CPU is used")));
  try {
    select_device("auto", 0, /*needs_gpu=*/true);
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("device: cpu"));
  }
  ::unsetenv("PIXART_DRIVER_FILE");
}

TEST(Allocator, BlocksGrowUnlessAVariableSaysOtherwise) {
  const char* names[] = {"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"};
  const auto before = environment_variable(names[0]), before_too = environment_variable(names[1]);
  for (const char* name : names) {
    for (const char* each : names) ::unsetenv(each);
    ::setenv(name, "max_split_size_mb:64", 1);
    use_expandable_segments();
    EXPECT_EQ(environment_variable(name), "max_split_size_mb:64");
    for (const char* each : names) EXPECT_EQ(environment_variable(each).has_value(), each == name) << each;
  }
  for (const char* name : names) ::unsetenv(name);
  use_expandable_segments();
  EXPECT_EQ(environment_variable(names[0]), "expandable_segments:True");
  ::unsetenv(names[0]);
  if (before) ::setenv(names[0], before->c_str(), 1);
  if (before_too) ::setenv(names[1], before_too->c_str(), 1);
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

// cuDNN's attention builds a plan for each caption length (device.h).
TEST(SelectDevice, TakesCudnnOutOfAttention) {
  auto& context = at::globalContext();
  for (const auto& select : {std::function<void()>(configure_attention), {[] { select_device("cpu"); }}}) {
    context.setSDPUseCuDNN(true);
    select();
    EXPECT_FALSE(context.userEnabledCuDNNSDP());
    EXPECT_TRUE(context.userEnabledFlashSDP());
    EXPECT_TRUE(context.userEnabledMemEfficientSDP());
  }
}

TEST(AllowTf32, HoldsForAGpuWhileItLives) {
  auto& context = at::globalContext();
  ASSERT_FALSE(context.allowTF32CuBLAS());
  const c10::Device gpu(at::kCUDA, 0);
  {
    const AllowTf32 tf32(true, gpu);
    EXPECT_TRUE(context.allowTF32CuBLAS());
    const FullFloat32 full;
    EXPECT_FALSE(context.allowTF32CuBLAS());
  }
  EXPECT_FALSE(context.allowTF32CuBLAS());
  const AllowTf32 not_wanted(false, gpu), on_the_cpu(true, at::kCPU);
  EXPECT_EQ(context.float32MatmulPrecision(), at::Float32MatmulPrecision::HIGHEST);
}

TEST(FullFloat32, HoldsWhileItLives) {
  using enum at::Float32MatmulPrecision;
  auto& context = at::globalContext();
  for (const auto& [name, precision] : {std::pair{"medium", MEDIUM}, {"high", HIGH}, {"highest", HIGHEST}}) {
    context.setFloat32MatmulPrecision(name);
    {
      const FullFloat32 full;
      EXPECT_EQ(context.float32MatmulPrecision(), HIGHEST);
      EXPECT_FALSE(context.allowTF32CuBLAS());
    }
    EXPECT_EQ(context.float32MatmulPrecision(), precision);
  }
}

TEST(PciBusId, ACpuHasNone) {
  EXPECT_EQ(pci_bus_id(at::kCPU), std::nullopt);
  EXPECT_EQ(gpu_name(at::kCPU), "");
}

TEST(SetNumThreads, ZeroMeansThePhysicalCores) {
  set_num_threads(1);
  EXPECT_EQ(at::get_num_threads(), 1);
  set_num_threads(0);
  EXPECT_EQ(at::get_num_threads(), physical_cores());
}

}  // namespace
}  // namespace pixart::nn
