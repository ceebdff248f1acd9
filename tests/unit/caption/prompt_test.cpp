#include "prompt.h"

#include <gtest/gtest.h>

namespace pixart::caption {
namespace {

TEST(Prompt, PaperPrompts) {
  EXPECT_EQ(paper_prompt(), "Describe this image and its style in a very detailed manner");
  EXPECT_FALSE(uses_caption(paper_prompt()));
  EXPECT_EQ(
      fill_prompt(paper_prompt_with_caption(), "a cat"),
      "Given the caption of this image 'a cat', describe this image and its style in a very detailed manner");
}

TEST(Prompt, AnImageWithoutCaptionIsAskedForPlainly) {
  EXPECT_EQ(fill_prompt(paper_prompt_with_caption(), ""), paper_prompt());
}

TEST(Prompt, FillsEachPlaceOnce) {
  EXPECT_TRUE(uses_caption("{caption}?"));
  EXPECT_EQ(fill_prompt("{caption} or {caption}", "x"), "x or x");
  EXPECT_EQ(fill_prompt("say {caption}.", "{caption} {caption}"), "say {caption} {caption}.");
  EXPECT_EQ(fill_prompt("no place", "x"), "no place");
  EXPECT_EQ(fill_prompt("own: {caption}", ""), "own: ");
}

}  // namespace
}  // namespace pixart::caption
