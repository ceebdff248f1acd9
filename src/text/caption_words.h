// Splits a caption into words, for counting.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

// The words of one caption after the other, in the same memory. A word is a run of letters, marks and digits
// with single apostrophes and hyphens inside. Invalid UTF-8 separates words.
class CaptionWords {
 public:
  void split(std::string_view caption);

  size_t size() const { return words_.size(); }
  // In lower case; a typographic apostrophe is ' and a hyphen -. Valid until the next split().
  std::string_view text(size_t i) const {
    return std::string_view(letters_).substr(words_[i].begin, words_[i].end - words_[i].begin);
  }
  // Whether something other than blanks, commas and quotes is before the word.
  bool ends_phrase(size_t i) const { return words_[i].ends_phrase; }

 private:
  struct Word {
    size_t begin = 0, end = 0;  // in letters_
    bool ends_phrase = false;
  };
  void split_ascii(std::string_view caption);
  void split_utf8(std::string_view caption);

  std::string letters_;
  std::vector<Word> words_;
};

}  // namespace pixart::text
