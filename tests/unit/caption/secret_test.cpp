#include "secret.h"

#include <gtest/gtest.h>

#include <chrono>

#include "same_answers.h"

namespace pixart::caption {
namespace {

const std::string kKey = "sk-abc/def+0123456789";

TEST(WithoutKey, InEachForm) {
  std::string unicode, doubly, percent, decimal, hex;
  for (const char c : kKey) {
    char four[8];
    std::snprintf(four, sizeof four, "%04X", unsigned(c));
    unicode += std::string("\\u") + four;
    doubly += std::string("\\\\u") + four;
    percent += std::string("%") + (four + 2);
    decimal += "&#" + std::to_string(int(c)) + ";";
    hex += std::string("&#x") + (four + 2) + ";";
  }
  for (const std::string& form :
       {kKey, std::string("sk-abc\\/def+0123456789"), std::string("sk-abc\\\\/def+0123456789"),
        std::string("sk-abc%2Fdef%2b0123456789"), std::string("\\u0073k-abc\\/def+012345678\\u0039"),
        std::string("sk-abc&#x2F;def&#43;0123456789"), unicode, doubly, percent, decimal, hex})
    EXPECT_EQ(without_key("a " + form + " b" + form, kKey), "a [key] b[key]") << form;
}

TEST(WithoutKey, OtherTextsStay) {
  for (const std::string text : {"", "sk-abc/def+012345678", "a \\ b %2", "&amp; &#47;", "\\u0073k-abc"})
    EXPECT_EQ(without_key(text, kKey), text);
  EXPECT_EQ(without_key("EMPTY", "EMPTY"), "EMPTY");
  EXPECT_EQ(without_key("a&amp;b\\\\c12345", "a&b\\c12345"), "[key]");
}

TEST(WithoutKey, LongTextsTakeLittleTime) {
  const auto begin = std::chrono::steady_clock::now();
  for (const char* piece : {"\\", "sk-", "%73", "&#115;"}) {
    std::string text;
    while (text.size() < 2'000'000) text += piece;
    EXPECT_EQ(without_key(text, kKey), text);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(seconds.count(), 20);  // a quadratic search takes hours
}

TEST(SameAnswers, EightOfOneKindAreTooMany) {
  SameAnswers same;
  for (int i = 1; i < 8; ++i) EXPECT_FALSE(same.add(std::to_string(i), "a")) << i;
  EXPECT_TRUE(same.is_all());
  EXPECT_TRUE(same.add("8", "a"));
  EXPECT_EQ(same.keys().size(), 8u);
  for (int different = 0; different < 8; ++different) {
    SameAnswers mixed;
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(mixed.add(std::to_string(i), i == different ? "b" : "a"));
    EXPECT_FALSE(mixed.is_all());
  }
}

}  // namespace
}  // namespace pixart::caption
