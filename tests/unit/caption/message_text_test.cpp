#include "message_text.h"

#include <gtest/gtest.h>

namespace pixart::caption {
namespace {

TEST(MessageText, ASentenceOfOthersEndsOnce) {
  for (const auto& [text, joined] : std::initializer_list<std::pair<const char*, const char*>>{
           {"HTTP 400, no images", "HTTP 400, no images. Try again."},
           {"Only 1 is supported.", "Only 1 is supported. Try again."},
           {"What shall I describe?", "What shall I describe? Try again."},
           {"No!\n", "No! Try again."},
           {"He said 'no.'", "He said 'no.' Try again."},
           {"field required (user)", "field required (user). Try again."},
           {"'a cat'", "'a cat'. Try again."},
           {"Bad request: ", "Bad request. Try again."},
           {"wait\u2026", "wait\u2026 Try again."},
           {"\u4F59\u989D\u4E0D\u8DB3\u3002", "\u4F59\u989D\u4E0D\u8DB3\u3002 Try again."},
           {"''", "''. Try again."},
           {"::", "Try again."},
           {"", "Try again."}})
    EXPECT_EQ(followed_by(text, "Try again."), joined);
}

}  // namespace
}  // namespace pixart::caption
