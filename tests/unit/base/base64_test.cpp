#include "pixart/base/base64.h"

#include <gtest/gtest.h>

namespace pixart {
namespace {

TEST(Base64, BothWays) {
  std::string bytes;
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes) << i;
    bytes += char(i * 37);
  }
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(from_base64("/+++"), "\xff\xef\xbe");
}

TEST(Base64, RefusesWhatItDoesNotWrite) {
  for (const char* text : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "=", "====", "Zm9v\n", " Zm9v",
                           "Zm9v====", "Zm-v", "Zm_v", "Zg==Zg==", "Zm\xc3\xa9"})
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace pixart
