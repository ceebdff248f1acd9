#include "pixart/formats/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "crc32c_ways.h"
#include "event_reader.h"

namespace pixart::formats {
namespace {

using pixart::testing::slow_crc32c;

std::string noise(size_t count) {
  std::string bytes(count, '\0');
  uint32_t state = 1;
  for (auto& byte : bytes) byte = char((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

uint32_t with(Crc32cWay way, std::string_view bytes) {
  return ~way(~uint32_t{0}, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

TEST(Crc32c, AgreesWithTheStandard) {  // RFC 3720, appendix B.4, and the usual check value
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) rising += char(i), falling += char(31 - i);
  EXPECT_EQ(crc32c(rising), 0x46DD794Eu);
  EXPECT_EQ(crc32c(falling), 0x113FDB5Cu);
  std::string command(48, '\0');  // an iSCSI read command
  command[0] = 0x01, command[1] = char(0xC0), command[16] = 0x14, command[22] = 0x04, command[27] = 0x14,
  command[31] = 0x18, command[32] = 0x28, command[40] = 0x02;
  EXPECT_EQ(crc32c(command), 0xD9963A56u);
}

TEST(Crc32c, EveryWayAgreesBitByBitAtEveryLengthAndPlace) {
  const std::string bytes = noise(400);
  for (size_t count = 0; count <= 300; ++count) {
    for (size_t begin = 0; begin < 64; begin += count < 40 ? 1 : 7) {
      const auto part = std::string_view(bytes).substr(begin, count);
      const uint32_t expected = slow_crc32c(part);
      EXPECT_EQ(crc32c(part), expected) << count << " from " << begin;
      for (const auto way : crc32c_ways()) ASSERT_EQ(with(way, part), expected) << count << " from " << begin;
    }
  }
}

TEST(Crc32c, EveryWayAgreesAboutManyBlocks) {
  const std::string bytes = noise(40000);
  for (const size_t count : {1023, 1024, 3071, 3072, 3073, 8063, 8064, 8065, 9000, 16384, 30001, 39990}) {
    for (const size_t begin : {0, 1, 5, 8}) {
      const auto part = std::string_view(bytes).substr(begin, count);
      const uint32_t expected = slow_crc32c(part);
      for (const auto way : crc32c_ways()) EXPECT_EQ(with(way, part), expected) << count << " from " << begin;
    }
  }
}

TEST(Crc32c, GoesOnFromWhatComesBefore) {
  const std::string bytes = noise(10000);
  const uint32_t whole = crc32c(bytes);
  for (const size_t cut : {0, 1, 8, 8064, 9999, 10000})
    EXPECT_EQ(crc32c(std::string_view(bytes).substr(cut), crc32c(std::string_view(bytes).substr(0, cut))),
              whole);
}

}  // namespace
}  // namespace pixart::formats
