#include "unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart::text {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int64_t> ids_of(const UnigramSegmenter& segmenter, std::string_view text) {
  std::vector<int64_t> ids;
  segmenter.append_ids(text, ids);
  return ids;
}

TEST(Unigram, TakesTheMostLikelySegmentation) {
  const UnigramSegmenter segmenter({{"a", -2, 3}, {"b", -2, 4}, {"ab", -3, 5}, {"aba", -9, 6}}, 2);
  EXPECT_THAT(ids_of(segmenter, "aba"), ElementsAre(5, 3));
  EXPECT_THAT(ids_of(segmenter, "ba"), ElementsAre(4, 3));
  EXPECT_THAT(ids_of(segmenter, ""), IsEmpty());
}

TEST(Unigram, UnknownCharactersMerge) {
  const UnigramSegmenter segmenter({{"a", -2, 3}, {"猫a", -3, 4}}, 2);
  EXPECT_THAT(ids_of(segmenter, "a犬🐱a犬"), ElementsAre(3, 2, 3, 2));
  EXPECT_THAT(ids_of(segmenter, "猫a猫"), ElementsAre(4, 2));
}

// "000" is 0 00 or 00 0 with the same probability; the sum of floats that comes out larger decides, and the
// first way on a tie. The scores are those of a model whose answers transformers gave
// (tests/golden/tokenizer/t5_like).
TEST(Unigram, FloatSumsDecideBetweenEqualSegmentations) {
  const UnigramSegmenter segmenter({{"0", -8.59127140045166F, 262},
                                    {"00", -9.994678497314453F, 1050},
                                    {"▁1", -9.32925033569336F, 460},
                                    {",", -4.321390628814697F, 12}},
                                   2);
  EXPECT_THAT(ids_of(segmenter, "▁1,000,000"), ElementsAre(460, 12, 262, 1050, 12, 262, 1050));
  const UnigramSegmenter even({{"0", -1, 3}, {"00", -1.5F, 4}}, 2);
  EXPECT_THAT(ids_of(even, "000"), ElementsAre(3, 4));
}

}  // namespace
}  // namespace pixart::text
