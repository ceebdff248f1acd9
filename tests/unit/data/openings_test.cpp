#include "pixart/data/openings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace pixart::data {
namespace {
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Captions that share no words.
std::string other(int i) {
  return fmt::format("one{0} two{0} three{0} four{0} five{0} six{0} seven{0} eight{0}", i);
}

std::vector<Opening> shared(const std::vector<std::string>& captions) {
  OpeningCounter counter;
  for (size_t i = 0; i < captions.size(); ++i) counter.add(captions[i], fmt::format("{}.png", i));
  return counter.shared();
}

std::vector<std::string> texts(const std::vector<Opening>& openings) {
  std::vector<std::string> result;
  for (const auto& opening : openings) result.push_back(opening.text);
  return result;
}

// `count` captions with the beginning, and others up to a hundred.
std::vector<Opening> of_a_hundred(const std::string& beginning, int count) {
  std::vector<std::string> captions;
  for (int i = 0; i < 100; ++i) captions.push_back(i < count ? beginning + " " + other(i) : other(i));
  return shared(captions);
}

TEST(Openings, WhatAModelWroteBeforeEachCaptionIsAWarning) {
  std::vector<std::string> captions;
  for (const char* object : {"A ball", "A dog", "Two cars", "A house", "One hill", "A cloud"})
    captions.push_back(std::string("Sure! Here's a detailed description of the image:\n\n") + object +
                       " on a lawn.");
  const auto found = shared(captions);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].text, "Sure! Here's a detailed description of the image:");
  EXPECT_EQ(found[0].captions, 6);
  EXPECT_EQ(found[0].listed, 6);
  EXPECT_EQ(found[0].example, "0.png");
  EXPECT_TRUE(found[0].is_lead_in && found[0].is_warning());
  EXPECT_EQ(
      describe(found[0]),
      "6 of 6 captions (100.0 %) begin with \"Sure! Here's a detailed description of the image:\", as 0.png "
      "does. They look left over from what wrote the captions; remove them.");
}

TEST(Openings, LeadInsOfAnyLengthCountFromOnePercentOn) {
  for (const char* lead_in :
       {"Caption:", "**Caption:**", "Here is the caption you asked for:",
        "\u4EE5\u4E0B\u662F\u8FD9\u5F20\u56FE\u7247\u7684\u63CF\u8FF0\uFF1A", "Description\n"}) {
    for (const int count : {5, 60}) {
      const auto found = of_a_hundred(lead_in, count);
      ASSERT_EQ(found.size(), 1u) << lead_in;
      EXPECT_EQ(found[0].captions, count) << lead_in;
      EXPECT_TRUE(found[0].is_warning()) << lead_in;
    }
    EXPECT_THAT(of_a_hundred(lead_in, 4), IsEmpty());
  }
  OpeningCounter counter;
  for (int i = 0; i < 1000; ++i) counter.add(i < 9 ? "Title: " + other(i) : other(i), "");
  EXPECT_THAT(counter.shared(), IsEmpty()) << "0.9 %";
}

TEST(Openings, NaturalOnesAreTold) {
  const auto found = of_a_hundred("a photo of", 25);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].text, "a photo of");
  EXPECT_EQ(found[0].captions, 25);
  EXPECT_FALSE(found[0].is_warning());
  EXPECT_THAT(describe(found[0]), Not(HasSubstr("remove")));
  EXPECT_THAT(of_a_hundred("a photo of", 9), IsEmpty());
  EXPECT_TRUE(of_a_hundred("this image shows", 50).at(0).is_warning());
  EXPECT_THAT(describe(of_a_hundred("this image shows", 50).at(0)), HasSubstr("unless they are meant"));
}

TEST(Openings, TheLongestThatNearlyAllShareIsNamed) {
  EXPECT_THAT(texts(of_a_hundred("the image shows a close view of", 40)),
              ElementsAre("the image shows a close"));
  std::vector<std::string> captions;
  for (int i = 0; i < 40; ++i)
    captions.push_back((i < 20 ? "a photo of a dog " : "a photo of one cat ") + other(i));
  EXPECT_THAT(texts(shared(captions)), ElementsAre("a photo of", "a photo of a dog", "a photo of one cat"));
  captions.clear();
  for (int i = 0; i < 40; ++i)
    captions.push_back((i < 20 ? "Here is a caption: " : "Here is a text: ") + other(i));
  EXPECT_THAT(texts(shared(captions)), ElementsAre("Here is a caption:", "Here is a text:"));
}

TEST(Openings, LettersAndBlanksMayDiffer) {
  std::vector<std::string> captions;
  for (int i = 0; i < 10; ++i) captions.push_back((i % 2 == 0 ? "A Photo of " : " a  photo\tof ") + other(i));
  const auto found = shared(captions);
  EXPECT_THAT(texts(found), ElementsAre("A Photo of"));
  EXPECT_EQ(found.at(0).captions, 10);
  captions.clear();
  for (int i = 0; i < 10; ++i)
    captions.push_back("\u4E00\u5F20\u7167\u7247" + std::to_string(i) + " " + other(i));
  EXPECT_THAT(texts(shared(captions)), ElementsAre("\u4E00\u5F20\u7167")) << "ideographs are words";
}

TEST(Openings, OfFewOrShortCaptionsThereAreNone) {
  EXPECT_THAT(shared({}), IsEmpty());
  EXPECT_THAT(shared({"a red ball", "a red ball", "a red ball", "a red ball"}), IsEmpty());
  EXPECT_THAT(shared(std::vector<std::string>(50, "a ball")), IsEmpty());
  EXPECT_THAT(shared(std::vector<std::string>(50, "")), IsEmpty());
  EXPECT_THAT(shared(std::vector<std::string>(50, std::string(100'000, 'x'))), IsEmpty());
  EXPECT_THAT(shared(std::vector<std::string>(50, "\xE9 \xFF \xC3")), ElementsAre(::testing::_));
}

TEST(Openings, MemoryIsBoundedAndNoCommonOpeningIsLost) {
  constexpr int kCaptions = 100'000;
  OpeningCounter counter;
  for (int i = 0; i < kCaptions; ++i)
    counter.add(i % 5 == 0    ? "a photo of " + other(i)
                : i % 50 == 1 ? "Caption: " + other(i)
                              : other(i) + ":",
                std::to_string(i));
  EXPECT_LE(counter.num_counted(), 4 * OpeningCounter::kMost);
  const auto found = counter.shared();
  ASSERT_THAT(texts(found), ElementsAre("a photo of", "Caption:"));
  constexpr int kLost = kCaptions / int(OpeningCounter::kMost);
  EXPECT_THAT(found[0].captions,
              ::testing::AllOf(::testing::Ge(kCaptions / 5 - kLost), ::testing::Le(kCaptions / 5)));
  EXPECT_THAT(found[1].captions,
              ::testing::AllOf(::testing::Ge(kCaptions / 50 - kLost), ::testing::Le(kCaptions / 50)));
}

// The table agrees with the plain form of the summary, however often entries leave it and come back.
TEST(Openings, CountsAreThoseOfTheSummary) {
  OpeningCounter counter;
  std::map<std::string, int64_t> plain;
  for (int64_t i = 0; i < 60'000; ++i) {
    const int64_t word = i % 4 == 0 ? -1 : i * i % 9973;
    const std::string name = fmt::format("see {} here", word);
    counter.add(name, "");
    if (plain.count(name) > 0 || plain.size() < OpeningCounter::kMost) {
      ++plain[name];
    } else {
      for (auto& [other, captions] : plain) --captions;
      std::erase_if(plain, [](const auto& entry) { return entry.second == 0; });
    }
  }
  EXPECT_LT(plain.at("see -1 here"), 15'000) << "some entries left";
  EXPECT_EQ(counter.num_counted(), plain.size());
  ASSERT_EQ(texts(counter.shared()), std::vector<std::string>{"see -1 here"});
  EXPECT_EQ(counter.shared()[0].captions, plain.at("see -1 here"));
}

TEST(Openings, BlocksAreTheSameAsCaptionsOneByOne) {
  OpeningCounter whole, in_blocks;
  OpeningBlock block;
  for (int i = 0; i < 20'000; ++i) {
    const std::string caption = i % 3 == 0    ? "  A  photo of " + other(i)
                                : i % 11 == 0 ? "Here is it:\n" + other(i % 1000)
                                              : other(i % 7000);
    whole.add(caption, std::to_string(i));
    block.add(caption, std::to_string(i));
    if (i % 300 != 0 && i != 19'999) continue;
    in_blocks.add_block(block);
    block = {};
  }
  EXPECT_EQ(in_blocks.num_counted(), whole.num_counted());
  const auto a = whole.shared(), b = in_blocks.shared();
  ASSERT_EQ(a.size(), 2u);
  ASSERT_EQ(b.size(), 2u);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(describe(a[i]), describe(b[i]));
}

}  // namespace
}  // namespace pixart::data
