#include "pixart/run/device_meter.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/env.h"

namespace pixart::run {
namespace {

Nvml fake() { return *Nvml::load(PIXART_FAKE_NVML); }

TEST(GpuMeter, EnergyIsWhatTheCounterHasGrownBy) {
  GpuMeter meter(fake(), 0, 100);
  EXPECT_EQ(meter.name(), "NVIDIA A100-SXM4-80GB");
  const auto first = meter.read(110), second = meter.read(111);
  EXPECT_DOUBLE_EQ(first.energy_joules.value(), 50);
  EXPECT_DOUBLE_EQ(second.energy_joules.value(), 100);
  EXPECT_DOUBLE_EQ(second.power_watts.value(), 312.5);
}

TEST(GpuMeter, WithoutACounterPowerIsSummedUp) {  // 100 W all the time
  GpuMeter meter(fake(), 1, 100);
  EXPECT_DOUBLE_EQ(meter.read(110).energy_joules.value(), 1000);
  EXPECT_DOUBLE_EQ(meter.read(110.5).energy_joules.value(), 1050);
}

TEST(GpuMeter, OfNoGpuTellsNothing) {
  GpuMeter meter(fake(), 7, 0);
  EXPECT_EQ(meter.name(), "");
  EXPECT_FALSE(meter.read(1).power_watts);
  EXPECT_FALSE(meter.read(1).energy_joules);
}

TEST(DeviceMeter, OfACpuIsTheProcessAlone) {
  DeviceMeter meter(at::kCPU);
  const uint64_t before = meter.read().memory_bytes;
  const at::Tensor large = at::ones({int64_t{64} << 20});  // 256 MiB, all touched
  const auto after = meter.read();
  EXPECT_GE(after.memory_bytes, uint64_t(large.nbytes()));
  EXPECT_GE(after.memory_bytes, before);
  EXPECT_LE(after.memory_bytes, peak_memory_bytes());
  EXPECT_EQ(meter.name(), "");
  EXPECT_FALSE(after.power_watts);
  EXPECT_FALSE(after.energy_joules);
}

}  // namespace
}  // namespace pixart::run
