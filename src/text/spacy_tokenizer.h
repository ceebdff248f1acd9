// spaCy 3's tokenizer (spacy.Tokenizer.v1) by the file `tokenizer` of a pipeline's folder: words at white space, off which
// prefixes and suffixes are cut until nothing matches, and which infixes divide; special cases are words with parts of their own.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "msgpack.h"
#include "pcre_regex.h"

namespace pixart::text {

struct SpacyToken {
  std::string_view text = {};  // a part of the prompt
  std::string_view norm = {};  // of a special case; "": as spacy_norm() says
  bool space = false;          // whether a blank follows, which is not in a token
};

class SpacyTokenizer {
 public:
  // Throws PackedError if a part is missing, or a pattern is not one that PCRE2 reads.
  explicit SpacyTokenizer(const Packed& file);

  // Of valid UTF-8, which must outlive the result. Joined, with a blank where `space` says, tokens are the text.
  std::vector<SpacyToken> split(std::string_view text) const;

 private:
  struct Part {
    std::string text = {}, norm = {};
  };
  using Parts = std::vector<Part>;
  // A special case that affixes would divide: it is found as the tokens that they make of it.
  struct Sequence {
    std::vector<std::string> tokens = {};
  };
  struct Span {
    size_t begin = 0, end = 0;
  };
  // What remains of a word, and what was cut off, from the outside to the inside.
  struct Affixes {
    std::string_view middle = {};
    std::vector<std::string_view> prefixes = {}, suffixes = {};
  };

  void read_cases(const Packed& cases);
  void read_sequences(bool only_divided);
  std::vector<SpacyToken> split_at_space(std::string_view text, bool with_cases) const;
  void add_word(std::string_view word, bool with_cases, std::vector<SpacyToken>& tokens) const;
  Affixes cut_affixes(std::string_view word, bool with_cases) const;
  void add_middle(std::string_view middle, bool with_cases, std::vector<SpacyToken>& tokens) const;
  void add_between_infixes(std::string_view middle, std::vector<SpacyToken>& tokens) const;
  bool add_case(std::string_view word, std::vector<SpacyToken>& tokens) const;
  bool is_case(std::string_view word) const { return cases_.find(word) != cases_.end(); }
  std::vector<Span> spans_of_cases(const std::vector<SpacyToken>& tokens) const;
  std::vector<SpacyToken> with_cases(std::string_view text, std::vector<SpacyToken> tokens) const;

  std::optional<Regex> prefix_, suffix_, infix_, token_match_, url_match_;
  std::map<std::string, Parts, std::less<>> cases_;
  std::map<std::string, std::vector<Sequence>, std::less<>> sequences_;  // by their first token
};

}  // namespace pixart::text
