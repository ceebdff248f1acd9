// Splits a caption into words, for counting.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

struct CaptionWord {
  std::string text;          // lower-case; a typographic apostrophe is ' and a hyphen -
  bool ends_phrase = false;  // something other than blanks, commas and quotes is before it
};

// Overwrites the first elements of `words`, which reuses their memory, and returns the number of words. A
// word is a run of letters, marks and digits with single apostrophes and hyphens inside. Invalid UTF-8
// separates words.
size_t split_words(std::string_view caption, std::vector<CaptionWord>& words);

}  // namespace pixart::text
