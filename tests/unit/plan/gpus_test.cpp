#include "pixart/plan/gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "pixart/base/error.h"

namespace pixart::plan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Gpus, EveryOneIsComplete) {
  std::set<std::string> names;
  for (const auto& gpu : gpus()) {
    EXPECT_TRUE(names.insert(gpu.name).second) << gpu.name;
    EXPECT_GE(gpu.half, gpu.is_cpu ? 1 : gpu.single) << gpu.name;
    EXPECT_GT(gpu.single, 0) << gpu.name;
    if (gpu.is_cpu) continue;
    EXPECT_GT(gpu.memory_bytes, 1e10) << gpu.name;
    EXPECT_EQ(gpu.watts > 0, gpu.name != "gh200") << gpu.name << ": that one is not told apart from its CPU";
    EXPECT_EQ(gpu.tf32 > 0, gpu.has_bfloat16) << gpu.name << ": both came with Ampere";
  }
}

TEST(Gpus, UnknownNameSaysTheNearest) {
  EXPECT_EQ(find_gpu("a100-80").peak(run::Precision::kBFloat16), 312e12);
  EXPECT_EQ(find_gpu("a100-80").peak(run::Precision::kTf32), 156e12);
  EXPECT_EQ(find_gpu("a100-80").peak(run::Precision::kFloat32), 19.5e12);
  EXPECT_EQ(find_gpu("v100").peak(run::Precision::kTf32), find_gpu("v100").single) << "it has none";
  EXPECT_THAT([] { find_gpu("a100-8"); }, ThrowsMessage<UserError>(HasSubstr("Did you mean 'a100-80'?")));
  EXPECT_THAT([] { find_gpu("tpu"); }, ThrowsMessage<UserError>(HasSubstr("known are b200")));
}

TEST(Gpus, TheCpuIsThisMachine) {
  const Gpu two = find_gpu("cpu", 2, 1e9), one = find_gpu("cpu", 1, 1e9);
  EXPECT_EQ(two.single, 2 * one.single);
  EXPECT_EQ(two.memory_bytes, 1e9);
  EXPECT_LT(one.half, one.single) << "without instructions for bfloat16";
  EXPECT_EQ(find_gpu("cpu", 2, 1e9, CpuBfloat16::kAvx512).half, 2 * two.single);
}

TEST(Gpus, RecognizesDriverNames) {
  const auto name = [](const char* words) {
    const Gpu* gpu = recognize_gpu(words);
    return gpu == nullptr ? std::string("none") : gpu->name;
  };
  EXPECT_EQ(name("NVIDIA A100-SXM4-80GB"), "a100-80");
  EXPECT_EQ(name("NVIDIA A100-SXM4-40GB"), "a100-40");
  EXPECT_EQ(name("NVIDIA A100 80GB PCIe"), "a100-80-pcie");
  EXPECT_EQ(name("NVIDIA A100-PCIE-40GB"), "a100-40-pcie");
  EXPECT_EQ(name("NVIDIA H100 80GB HBM3"), "h100");
  EXPECT_EQ(name("NVIDIA H100 PCIe"), "h100-pcie");
  EXPECT_EQ(name("NVIDIA H100 NVL"), "h100-nvl");
  EXPECT_EQ(name("NVIDIA H200"), "h200");
  EXPECT_EQ(name("NVIDIA H200 NVL"), "h200-nvl");
  EXPECT_EQ(name("NVIDIA GH200 480GB"), "gh200");
  EXPECT_EQ(name("NVIDIA A10"), "a10");
  EXPECT_EQ(name("NVIDIA A100-SXM-64GB"), "a100-40") << "of the same rates";
  EXPECT_EQ(name("Tesla V100-SXM2"), "v100-16");
  EXPECT_EQ(name("Tesla V100-PCIE-32GB"), "v100-pcie");
  EXPECT_EQ(name("Tesla V100-SXM2-32GB"), "v100");
  EXPECT_EQ(name("NVIDIA GeForce RTX 4090"), "rtx4090");
  EXPECT_EQ(name("NVIDIA L40S"), "l40s");
  EXPECT_EQ(name("NVIDIA L4"), "l4");
  EXPECT_EQ(name("Tesla T4"), "t4");
}

TEST(Gpus, GuessesNothing) {
  for (const char* name :
       {"", "AMD Instinct MI300X", "NVIDIA A10G", "NVIDIA H100", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti"})
    EXPECT_EQ(recognize_gpu(name), nullptr) << name;
}

TEST(Gpus, RatesDependOnTheArithmetic) {
  const Gpu a100 = find_gpu("a100-40"), h100 = find_gpu("h100-pcie");
  EXPECT_EQ(a100.tf32, 156e12);
  EXPECT_EQ(h100.peak(run::Precision::kBFloat16), 756.5e12);
  EXPECT_EQ(h100.peak(run::Precision::kFloat32), 51e12);
}

}  // namespace
}  // namespace pixart::plan
