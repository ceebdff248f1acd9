#include "pixart/base/machine.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace pixart {
namespace {

// Linux lists what the processor has and the system lets programs use.
TEST(Machine, Bfloat16IsWhatTheSystemListsOfTheProcessor) {
  std::ifstream file("/proc/cpuinfo");
  std::string line, word;
  CpuBfloat16 expected = CpuBfloat16::kNone;
  while (std::getline(file, line) && !line.starts_with("flags")) {
  }
  for (std::istringstream words(line); words >> word;) {
    if (word == "amx_bf16") expected = CpuBfloat16::kAmx;
    if (word == "avx512_bf16" && expected == CpuBfloat16::kNone) expected = CpuBfloat16::kAvx512;
  }
  EXPECT_EQ(cpu_bfloat16(), expected);
}

}  // namespace
}  // namespace pixart
