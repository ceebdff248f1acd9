// How CLIP's two tokenizers cut what the golden cases do not hold.
#include "pixart/text/clip_tokenizer.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

const std::filesystem::path kVocabulary =
    std::filesystem::path(PIXART_SOURCE_DIR) / "tests/golden/clip_tokenizer/tiny/vocabulary";

// openai/CLIP's regex without case finds U+0345, whose capital is a letter, neither as a letter nor as another character.
TEST(ClipTokenizer, OpenAiPassesOverTheIotaBelow) {
  const ClipTokenizer tokenizer(kVocabulary);
  const auto encode = [&](const char* text, ClipCleaning cleaning) {
    return tokenizer.encode(text, cleaning);
  };
  for (const auto& [with, without] : {std::pair("+\u0345+", "+ +"), std::pair("a\u0345b", "a b")}) {
    EXPECT_EQ(encode(with, ClipCleaning::kOpenAi), encode(without, ClipCleaning::kOpenAi)) << with;
    EXPECT_NE(encode(with, ClipCleaning::kHuggingFace), encode(without, ClipCleaning::kHuggingFace)) << with;
  }
  // Other marks are characters of their own for both.
  EXPECT_NE(encode("+\u0348+", ClipCleaning::kOpenAi), encode("+ +", ClipCleaning::kOpenAi));
}

}  // namespace
}  // namespace pixart::text
