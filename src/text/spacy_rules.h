// spaCy 3's attribute ruler, as far as it decides tags and parts of speech: patterns of tokens, and what one of the tokens gets.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "msgpack.h"

namespace pixart::text {

// A token as the patterns see it. No parser runs, so a token has no DEP, as in spaCy without a parser.
struct RuledToken {
  std::string lower = {}, tag = {}, part = {};  // `part` of speech: "ADJ"; "" if no rule says it
  bool is_space = false;
};

class SpacyRules {
 public:
  // The file attribute_ruler/patterns. Rules for lemmas and morphology are left out. Throws PackedError if another rule asks
  // for something that is not read.
  explicit SpacyRules(const Packed& file);

  // All patterns see the tags as they are given; of several rules for a token the last one counts.
  void apply(std::vector<RuledToken>& tokens) const;

 private:
  enum class Field { kTag, kLower, kDep, kIsSpace };
  struct Condition {
    Field field = Field::kTag;
    bool is_among = true;  // or not among
    std::vector<std::string> values = {};
  };
  using Pattern = std::vector<std::vector<Condition>>;  // for each token, what must hold
  struct Rule {
    std::vector<Pattern> patterns = {};
    std::string tag = {}, part = {};  // "": not set
    int64_t index = 0;                // of the token that gets them; from the end if it is negative
  };

  static Rule rule_of(const Packed& packed);
  static Condition condition_of(std::string_view name, const Packed& value);
  static bool holds(const Condition& condition, const RuledToken& token);
  static bool matches(const Pattern& pattern, const std::vector<RuledToken>& tokens, size_t begin);

  std::vector<Rule> rules_;
};

}  // namespace pixart::text
