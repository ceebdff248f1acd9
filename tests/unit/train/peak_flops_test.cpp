#include "pixart/train/peak_flops.h"

#include <gtest/gtest.h>

namespace pixart::train {
namespace {

double bfloat16(const char* name) { return peak_flops(name, Arithmetic::kBfloat16).value_or(0) / 1e12; }

// Names as nvidia-smi prints them.
TEST(PeakFlops, KnowsGpusByName) {
  EXPECT_EQ(bfloat16("NVIDIA A100-SXM4-80GB"), 312);
  EXPECT_EQ(bfloat16("NVIDIA A100 80GB PCIe"), 312);
  EXPECT_EQ(bfloat16("NVIDIA A10"), 125);
  EXPECT_EQ(bfloat16("NVIDIA L4"), 121);
  EXPECT_EQ(bfloat16("NVIDIA L40S"), 362);
  EXPECT_EQ(bfloat16("NVIDIA GeForce RTX 4090"), 165.2);
}

TEST(PeakFlops, TellsVariantsApart) {
  EXPECT_EQ(bfloat16("NVIDIA H100 80GB HBM3"), 989.5);
  EXPECT_EQ(bfloat16("NVIDIA H100 PCIe"), 756.5);
  EXPECT_EQ(bfloat16("NVIDIA H100 NVL"), 835.5);
  EXPECT_EQ(bfloat16("NVIDIA H200"), 989.5);
}

TEST(PeakFlops, DependsOnTheArithmetic) {
  EXPECT_EQ(peak_flops("NVIDIA A100-SXM4-40GB", Arithmetic::kTf32), 156e12);
  EXPECT_EQ(peak_flops("NVIDIA A100-SXM4-40GB", Arithmetic::kFloat32), 19.5e12);
  EXPECT_EQ(peak_flops("Tesla V100-SXM2-32GB", Arithmetic::kFloat32), 15.7e12);
  EXPECT_FALSE(peak_flops("Tesla V100-SXM2-32GB", Arithmetic::kBfloat16)) << "it has none";
}

TEST(PeakFlops, GuessesNothing) {
  for (const char* name :
       {"", "AMD Instinct MI300X", "NVIDIA A10G", "NVIDIA H100", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti"})
    EXPECT_FALSE(peak_flops(name, Arithmetic::kBfloat16)) << name;
}

}  // namespace
}  // namespace pixart::train
