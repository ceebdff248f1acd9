#include "crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace pixart::formats {
namespace {

TEST(Crc32c, AgreesWithTheStandard) {  // RFC 3720, appendix B.4, and the usual check value
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += char(i);
  EXPECT_EQ(crc32c(rising), 0x46DD794Eu);
}

}  // namespace
}  // namespace pixart::formats
