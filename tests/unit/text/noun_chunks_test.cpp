// Noun chunks of prompts of the kinds that T2I-CompBench has. scripts/check_chunks.py compares with spaCy.
#include "pixart/text/noun_chunks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart::text {
namespace {
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using Strings = std::vector<std::string>;

const NounChunker& chunker() {
  static const NounChunker instance;
  return instance;
}
Strings chunks(std::string_view prompt) { return chunker().chunks(prompt); }

TEST(NounChunks, ArticlesBeginPhrasesAndLinksEndThem) {
  EXPECT_THAT(chunks("a purple violin and a white stool"), ElementsAre("a purple violin", "a white stool"));
  EXPECT_THAT(chunks("a wooden ladle and leather slippers"),
              ElementsAre("a wooden ladle", "leather slippers"));
  EXPECT_THAT(chunks("three small candles, two cups or a jug."),
              ElementsAre("three small candles", "two cups", "a jug"));
  EXPECT_THAT(chunks("an oval slice of melon"), ElementsAre("an oval slice", "melon"));
}

TEST(NounChunks, AdjectivesOfOneNounStayTogether) {
  EXPECT_THAT(chunks("A black and white rabbit sits on a tall, narrow shelf."),
              ElementsAre("A black and white rabbit", "a tall, narrow shelf"));
  EXPECT_THAT(chunks("The freshly painted fence"), ElementsAre("The freshly painted fence"));
  EXPECT_THAT(chunks("the well-lit room"), ElementsAre("the well-lit room"));
}

TEST(NounChunks, CompoundsAndPossessivesAreOnePhrase) {
  EXPECT_THAT(chunks("a square dining table and a swimming pool"),
              ElementsAre("a square dining table", "a swimming pool"));
  EXPECT_THAT(chunks("The painter's old brush fell into a can of soup"),
              ElementsAre("The painter's old brush", "a can", "soup"));
}

TEST(NounChunks, VerbsEndPhrases) {
  EXPECT_THAT(chunks("The heavy curtain covered the dusty window."),
              ElementsAre("The heavy curtain", "the dusty window"));
  EXPECT_THAT(chunks("A woman in a green coat holds a red umbrella in the rain"),
              ElementsAre("A woman", "a green coat", "a red umbrella", "the rain"));
  EXPECT_THAT(chunks("A man standing next to a bicycle"), ElementsAre("A man", "a bicycle"));
  EXPECT_THAT(chunks("The soft snow fell on the roof, creating a quiet scene, as they slept."),
              ElementsAre("The soft snow", "the roof", "a quiet scene", "they"));
}

TEST(NounChunks, WordsThatEndLikePronounsBeginAPhraseAfterNouns) {
  EXPECT_THAT(chunks("a stone bookshelf and a triangular elf"),
              ElementsAre("a stone", "bookshelf", "a triangular", "elf"));
  EXPECT_THAT(chunks("a wooden bookshelf and a stone shelf"),
              ElementsAre("a wooden bookshelf", "a stone shelf"));
  EXPECT_THAT(chunks("A brick oven stands in the yard."), ElementsAre("A brick", "oven", "the yard"));
}

TEST(NounChunks, NounsThatEndLikeAdjectivesAreLeftOut) {
  EXPECT_THAT(chunks("a stone decal and a green bench"), ElementsAre("a stone", "a green bench"));
  EXPECT_THAT(chunks("a green bench and a round decal"), ElementsAre("a green bench"));
  EXPECT_THAT(chunks("The red locomotive passed the old bench."),
              ElementsAre("The red locomotive", "the old bench"));
  EXPECT_THAT(chunks("a teardrop pendant"), ElementsAre("a teardrop pendant"));
  EXPECT_THAT(chunks("a green bench and a metal token"), ElementsAre("a green bench", "a metal"));
  EXPECT_THAT(chunks("The gift came from her beloved."), ElementsAre("The gift"));
}

TEST(NounChunks, SomeNounsLookLikeParticiplesWhereThePromptEnds) {
  EXPECT_THAT(chunks("a green bench and a small flatbed"), ElementsAre("a green bench"));
  EXPECT_THAT(chunks("a blue sled and a green bench"), ElementsAre("a blue sled", "a green bench"));
}

TEST(NounChunks, OddTextsHaveNoSurprises) {
  EXPECT_THAT(chunks(""), IsEmpty());
  EXPECT_THAT(chunks("  ,, -- ''' ... "), IsEmpty());
  EXPECT_THAT(chunks("'s"), IsEmpty());
  EXPECT_THAT(chunks("a cat\xff\xfe/../../etc \"$(true)\""), Not(IsEmpty()));
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "red and, the-a 's of ";
  EXPECT_FALSE(chunks(text).empty());
}

TEST(NounChunks, WordsAndTheirClasses) {
  const auto words = chunker().words("a tie-dye shirt");
  ASSERT_EQ(words.size(), 5u);
  EXPECT_EQ(words[2].text, "-");
  EXPECT_EQ(words[0].word_class, WordClass::kDeterminer);
  EXPECT_EQ(words[4].word_class, WordClass::kNoun);
  EXPECT_EQ(words[4].begin, 10u);
  EXPECT_EQ(chunker().without_adjectives("The red apple is near the small, green pear."),
            "The apple is near the , pear .");
}

}  // namespace
}  // namespace pixart::text
