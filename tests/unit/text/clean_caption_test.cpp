#include "pixart/text/clean_caption.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace pixart::text {
namespace {

TEST(CleanCaption, TypicalWebCaption) {
  EXPECT_EQ(clean_caption_twice("\"Beautiful%20Cat\" — photo by @bob, 1024x768, #12345, free shipping! "
                                "https://shop.example.com/item?id=99 (page 3) IMG_2034.jpg"),
            "\"beautiful cat\" - photo by , , , ! ?id=99");
}

TEST(CleanCaption, CleanTextIsLeftAlone) {
  for (const char* caption : {"", "a cat", "a cat, on a mat.", "the man's hat: 5 euros", "well-known café"}) {
    EXPECT_EQ(clean_caption(caption), caption);
    EXPECT_EQ(clean_caption_twice(caption), caption);
  }
}

TEST(CleanCaption, TheSecondPassMatters) {
  EXPECT_EQ(clean_caption("c%2B%2B code"), "c++ code");
  EXPECT_EQ(clean_caption_twice("c%2B%2B code"), "c code");
}

TEST(CleanCaption, PercentCodesAreDecodedPerRunOfAscii) {
  EXPECT_EQ(clean_caption("caf%C3%A9 %C3é 100% %4"), "café \uFFFDé 100% %4");
}

// A run of host characters holds at most one link, but the rest behind "https:x" may hold another.
TEST(CleanCaption, Links) {
  EXPECT_EQ(clean_caption("see example.co.uk"), "see . uk");
  EXPECT_EQ(clean_caption("http:a.b.com x"), "x");
  EXPECT_EQ(clean_caption("éa.b.com x"), "éa x");
  EXPECT_EQ(clean_caption("mail u.s.com@home"), "mail u. s. com");
}

TEST(CleanCaption, InvalidUtf8BecomesReplacementCharacters) {
  EXPECT_EQ(clean_caption("a \xff cat"), "a \uFFFD cat");
  EXPECT_EQ(plain_caption("A \xe2\x82 Cat"), "a \uFFFD cat");
  EXPECT_EQ(clean_caption(std::string("a\0b", 3)), "ab");
}

TEST(PlainCaption, LowersAndStrips) {
  EXPECT_EQ(plain_caption("\u3000 A  Cat&amp;\n"), "a  cat&amp;");
  EXPECT_EQ(plain_caption("ΟΔΟΣ İ"), "οδος i\u0307");
}

std::string repeated(const char* part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

// Each of these takes minutes where a pattern tries every place against the whole rest of the caption.
TEST(CleanCaption, HostileCaptionsEndInTime) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* part :
       {"a.", "1.", "-a", "<a ", "<a b='", " .", "x", "1a", "é\n", "Ã©", "\u0315\u0300", "&#", "Σ"})
    clean_caption(repeated(part, 30'000));
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(60));  // about 1 s on a free machine
}

TEST(CleanCaption, LongCaptionsStayWhole) {
  const std::string caption = repeated("a cat, ", 20'000) + "end";
  EXPECT_EQ(clean_caption_twice(caption), caption);
}

TEST(CleanCaption, SeveralThreads) {
  const std::string in = "<b>It\u00e2\u20ac\u2122s</b> &eacute; www.x.com", want = clean_caption(in);
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) result = clean_caption(in);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, want);
}

}  // namespace
}  // namespace pixart::text
