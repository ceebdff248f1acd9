#include "pixart/base/nvml.h"

#include <gtest/gtest.h>

namespace pixart {
namespace {

Nvml fake() { return *Nvml::load(PIXART_FAKE_NVML); }

TEST(Nvml, IsAbsentWithoutTheLibrary) {
  EXPECT_FALSE(Nvml::load("libnvidia-ml-that-is-not-there.so.1"));
  EXPECT_FALSE(Nvml::load("libm.so.6")) << "a library without NVML's functions";
}

TEST(Nvml, ReadsAGpuThatTellsEverything) {
  const Nvml nvml = fake();
  EXPECT_EQ(nvml.num_devices(), 2);
  const auto reading = nvml.read(0);
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->name, "NVIDIA A100-SXM4-80GB");
  EXPECT_DOUBLE_EQ(reading->power_watts.value(), 312.5);
  EXPECT_EQ(reading->memory_used_bytes.value(), uint64_t{1} << 30);
  EXPECT_EQ(reading->memory_total_bytes.value(), uint64_t{80} << 30);
  EXPECT_DOUBLE_EQ(reading->utilisation.value(), 0.87);
  EXPECT_DOUBLE_EQ(nvml.read(0)->energy_joules.value() - reading->energy_joules.value(), 50);
}

TEST(Nvml, LeavesOutWhatAGpuDoesNotTell) {
  const auto reading = fake().read(1);
  ASSERT_TRUE(reading);
  EXPECT_DOUBLE_EQ(reading->power_watts.value(), 100);
  EXPECT_FALSE(reading->energy_joules);
  EXPECT_FALSE(reading->utilisation);
}

TEST(Nvml, FindsAGpuByItsSlot) {
  EXPECT_EQ(fake().find("0000:af:00.0"), 1);
  EXPECT_EQ(fake().find("0000:00:00.0"), std::nullopt);
}

TEST(Nvml, HasNoOtherGpus) {
  EXPECT_FALSE(fake().read(2));
  EXPECT_FALSE(fake().read(-1));
}

TEST(Nvml, ACopyKeepsTheLibraryOpen) {
  std::optional<Nvml> first = fake();
  const Nvml second = *first;
  first.reset();
  EXPECT_EQ(second.num_devices(), 2);
}

}  // namespace
}  // namespace pixart
