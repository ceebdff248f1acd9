#include "pixart/base/print.h"

#include <gtest/gtest.h>

#include <functional>

namespace pixart {
namespace {

std::string stdout_of(const std::function<void()>& work) {
  ::testing::internal::CaptureStdout();
  work();
  std::fflush(stdout);
  return ::testing::internal::GetCapturedStdout();
}

TEST(Printable, PlainTextStays) {
  for (const char* text : {"", "an image\tof 3 cats.png", "Größe 大 😀", "back\\slash 'quoted' \"x\""})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, WhatATerminalObeysIsVisible) {
  EXPECT_EQ(printable("a\x1b[31mred\x1b]0;owned\x07"
                      "b"),
            "a\\x1b[31mred\\x1b]0;owned\\x07b");
  EXPECT_EQ(printable(std::string("nul\0\x7f", 5)), "nul\\x00\\x7f");
  EXPECT_EQ(printable("\r\n\v\f\b"), "\\x0d\\n\\x0b\\x0c\\x08");
  EXPECT_EQ(printable("\u009b31m \u0085"), "\\u009b31m \\u0085");
  EXPECT_EQ(printable("exe\u202egpj.\u2066x\u2069 \u200f\u061c\u2028\u2029"),
            "exe\\u202egpj.\\u2066x\\u2069 \\u200f\\u061c\\u2028\\u2029");
}

TEST(Printable, EachByteThatIsNotUtf8IsVisible) {
  EXPECT_EQ(printable("\x9b"
                      "31m \xff \xc3"),
            "\\x9b31m \\xff \\xc3");
  EXPECT_EQ(printable("\xe2\x80"), "\\xe2\\x80");
}

TEST(Printable, LineBreaksStayIfTheyAreOurs) {
  EXPECT_EQ(printable("a\nb", LineBreaks::kKept), "a\nb");
  EXPECT_EQ(printable("a\r\nb", LineBreaks::kKept), "a\\x0d\nb");
}

TEST(Print, ALineIsOneLine) {
  EXPECT_EQ(stdout_of([] { print_line("licence  {}", "MIT \n fake: ok"); }), "licence  MIT \\n fake: ok\n");
  EXPECT_EQ(stdout_of([] { print_text("a\n  b\x1b[2J\n"); }), "a\n  b\\x1b[2J\n");
}

TEST(Print, JsonStaysJson) {
  EXPECT_EQ(stdout_of([] { print_json("{\n \"a\": \"\\u001b \x7f \u009b \u202e é\"\n}"); }),
            "{\n \"a\": \"\\u001b \\u007f \\u009b \\u202e é\"\n}\n");
}

}  // namespace
}  // namespace pixart
