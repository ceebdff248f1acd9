#include "phrase_tagger.h"

#include <algorithm>

namespace pixart::text {
namespace {

// Decides the classes of a prompt's units from left to right.
class Tagger {
 public:
  explicit Tagger(std::vector<Unit>& units) : units_(units) {}

  void run() {
    for (size_t i = 0; i < units_.size(); ++i) {
      units_[i].word_class = decide(i);
      note(i);
    }
  }

 private:
  bool has(size_t i) const { return i < units_.size(); }
  const WordEvidence& evidence(size_t i) const { return units_[i].evidence; }
  bool is_open(size_t i) const { return has(i) && !units_[i].closed; }
  bool is_closed_as(size_t i, WordClass word_class) const { return has(i) && units_[i].closed == word_class; }
  bool is_text(size_t i, std::string_view text) const { return has(i) && units_[i].lower == text; }
  WordClass before(size_t i) const {
    while (i > 0 && units_[i - 1].word_class == WordClass::kAdverb) --i;
    return i == 0 ? WordClass::kOther : units_[i - 1].word_class;
  }

  static bool may_modify(const WordEvidence& e) {
    return e.noun > 0 || e.adjective > 0 || e.past > 0 || e.ing > 0;
  }
  // Whether the unit may continue a noun phrase.
  bool may_continue(size_t i) const {
    if (is_closed_as(i, WordClass::kNumber)) return true;
    if (!is_open(i) || !may_modify(evidence(i))) return false;
    const auto& e = evidence(i);
    if (is_plain_adverb(i)) return false;
    return e.noun > 0 || may_continue_or_noun(i + 1);
  }
  bool may_continue_or_noun(size_t i) const {
    return is_open(i) && (evidence(i).noun > 0 || evidence(i).adjective > 0) && !is_plain_adverb(i);
  }
  bool is_plain_adverb(size_t i) const {
    const auto& e = evidence(i);
    if (e.noun > 0 && i > 0 && is_closed_as(i - 1, WordClass::kDeterminer)) return false;
    if (e.noun > 0 && (is_determined_ || has_adjective_) && ends_soon(i + 1)) return false;
    if (e.adjective > 0 && (is_determined_ || has_adjective_) && !has_noun_ && is_open(i + 1) &&
        evidence(i + 1).noun > 0)
      return false;
    return e.adverb > 0 && e.adverb > e.adjective && e.noun < e.adverb && e.verb() < e.adverb;
  }
  bool is_link(size_t i) const { return is_closed_as(i, WordClass::kConjunction) || is_text(i, ","); }

  // "a copper and ivory jug": one article for two words in front of one noun.
  bool shares_article(size_t i) const {
    if (i == 0 || !(is_text(i - 1, "a") || is_text(i - 1, "an")) || !is_text(i + 1, "and")) return false;
    if (!is_open(i + 2) || !is_open(i + 3) || evidence(i + 3).noun == 0) return false;
    const auto& other = evidence(i + 2);
    const bool is_next_adjective = other.adjective >= other.noun;
    return other.noun > 0 && (evidence(i).adjective > 0 || !is_next_adjective);
  }

  // "black and white cat", "tall, slender tree": adjectives of one noun, of which i is not the last.
  bool is_linked_adjective(size_t i) const {
    const auto& e = evidence(i);
    if (shares_article(i)) return true;
    if (e.adjective == 0 && e.past == 0 && e.ing == 0) return false;
    // "a metallic key and fluffy clouds": spaCy takes a noun that is often an adjective for one.
    const bool is_before_plural = is_open(i + 3) && evidence(i + 3).is_plural;
    if (has_adjective_ && e.noun > (is_before_plural ? 3 : 1) * e.adjective) return false;
    size_t next = i + 1;
    if (is_text(next, ",") && is_closed_as(next + 1, WordClass::kConjunction)) ++next;
    if (is_link(next) && is_open(next + 1) && is_plain_adverb(next + 1)) ++next;
    if (!(is_link(next) || is_link(next - 1)) || !is_open(next + 1)) return false;
    const auto& other = evidence(next + 1);
    const bool is_adjective = other.adjective > 0 || other.past > 0 || other.ing > 0;
    if (is_text(i + 1, ",") && is_determined_ && e.adjective >= e.noun)
      return may_continue(next + 2) || is_adjective;
    return is_adjective && (may_continue(next + 2) || is_linked_adjective(next + 1));
  }

  bool ends_soon(size_t i) const {
    return !has(i) || is_closed_as(i, WordClass::kConjunction) ||
           (is_closed_as(i, WordClass::kOther) && !is_letter(units_[i].lower.front()));
  }

  // A verb whose form no noun or adjective shares, or an auxiliary.
  bool is_sure_verb(size_t i) const {
    if (is_closed_as(i, WordClass::kVerb)) return true;
    if (!is_open(i)) return false;
    const auto& e = evidence(i);
    if (is_coordinated_ && e.base > 2 * e.noun && is_closed_as(i + 1, WordClass::kDeterminer)) return true;
    return (e.past > 0 || e.third > 0) && e.noun == 0 && e.adjective == 0;
  }
  bool has_sure_verb_after(size_t i) const {
    for (size_t j = i + 1; has(j) && !is_text(j, ",") && !begins_clause(units_[j].lower); ++j)
      if (is_sure_verb(j)) return true;
    return false;
  }

  // "a warm, inviting light": between the adjectives of a noun that is still to come.
  bool is_in_adjectives(size_t i) const {
    return i > 0 && is_link(i - 1) && has_adjective_ && !has_noun_ &&
           (may_continue(i + 1) || is_linked_adjective(i));
  }

  bool is_ing_verb(size_t i) const {
    const auto& e = evidence(i);
    if (e.ing == 0) return false;
    const WordClass previous = before(i);
    if (is_in_adjectives(i)) return false;
    const bool takes_object = is_closed_as(i + 1, WordClass::kDeterminer) ||
                              is_closed_as(i + 1, WordClass::kPreposition) ||
                              is_closed_as(i + 1, WordClass::kPronoun) || is_text(i + 1, "next") ||
                              (is_open(i + 1) && is_plain_adverb(i + 1));
    if (previous == WordClass::kNoun) {
      if (takes_object) return e.noun <= 2 * e.ing;
      const bool is_of_plural = evidence(i - 1).is_plural;
      if (e.noun > 0 && !is_of_plural && (ends_soon(i + 1) || is_past(i + 1) || is_text(i + 1, "can")))
        return false;
      if (may_continue(i + 1)) return is_of_plural || (is_determined_ && evidence(i + 1).is_plural);
      return e.noun == 0 || e.ing > 2 * e.noun;
    }
    if (previous == WordClass::kPreposition && (is_text(i - 1, "for") || is_text(i - 1, "by")) &&
        may_continue(i + 1))
      return e.ing > e.noun;
    if (previous == WordClass::kPreposition)
      return takes_object ? e.ing > e.noun : e.noun == 0 && !may_continue(i + 1);
    if (previous == WordClass::kVerb && !is_auxiliary(units_[i - 1].lower) && e.noun > 0 &&
        !is_closed_as(i + 1, WordClass::kDeterminer))
      return false;
    if (previous == WordClass::kVerb || previous == WordClass::kPronoun ||
        previous == WordClass::kConjunction)
      return e.ing > e.noun || takes_object;
    if (previous == WordClass::kOther)
      return i > 0 && (takes_object || e.noun == 0 || (has_verb_ && may_continue(i + 1)));
    return false;
  }

  bool is_past(size_t i) const { return is_open(i) && evidence(i).past > evidence(i).noun; }

  double finite(size_t i) const {
    const auto& e = evidence(i);
    const bool is_plural = is_coordinated_ || (i > 0 && evidence(i - 1).is_plural);
    return e.past + (is_plural ? e.base : 0) + (is_plural && !is_coordinated_ ? e.third / 4 : e.third);
  }

  double bar_of_verb(size_t i) const {
    if (clause_has_verb_ || has_sure_verb_after(i)) return 8;
    if (ends_soon(i + 1)) return evidence(i).past > 0 && has(i + 1) ? 3 : 50;
    const bool has_determined_object =
        is_closed_as(i + 1, WordClass::kDeterminer) || is_closed_as(i + 1, WordClass::kPronoun);
    if (has_determined_object) return evidence(i).third > 0 ? 0.1 : 0.4;
    if (is_coordinated_ && evidence(i).base > 0 && evidence(i).past == 0 &&
        is_closed_as(i + 1, WordClass::kPreposition))
      return evidence(i - 1).is_plural ? 0.3 : 1e9;
    if (is_closed_as(i + 1, WordClass::kPreposition) || is_closed_as(i + 1, WordClass::kAdverb))
      return evidence(i).third > 0 ? 0.5 : 1;
    if (is_open(i + 1) && is_plain_adverb(i + 1)) return 0.4;
    const bool has_object = may_continue(i + 1) && evidence(i + 1).noun >= evidence(i + 1).verb();
    if (has_object && evidence(i).third > 0) return 0.1;
    return has_object && evidence(i).past > 0 && evidence(i + 1).is_plural ? 0.4 : 1.5;
  }

  // "the rubber tires rest on": what the third person of a verb never has after it.
  bool is_verb_of_plural(size_t i) const {
    return is_open(i) && std::max(evidence(i).base, evidence(i).past) > evidence(i).noun / 3 && has(i + 1) &&
           units_[i + 1].closed && !ends_soon(i + 1);
  }

  bool is_verb_after_noun(size_t i) const {
    const auto& e = evidence(i);
    const double verb = finite(i);
    if (e.noun > 0 && e.past == 0 && ends_soon(i + 1)) return false;
    if (e.is_plural && e.third > 0 && is_verb_of_plural(i + 1)) return false;
    if (verb == 0) return e.noun == 0 && e.adjective == 0 && e.base > 0;
    if (e.noun > 0) return verb >= bar_of_verb(i) * std::max(e.noun, 0.5);
    const bool is_participle =
        e.past > 0 && may_continue(i + 1) && !evidence(i + 1).is_plural && is_determined_;
    return !(is_participle && (clause_has_verb_ || has_sure_verb_after(i) || e.adjective > 0));
  }

  bool is_verb(size_t i) const {
    const auto& e = evidence(i);
    if (e.verb() == 0) return false;
    if (is_ing_verb(i)) return true;
    const double others = std::max(e.noun, e.adjective);
    switch (before(i)) {
      case WordClass::kNoun:
        return is_verb_after_noun(i);
      case WordClass::kPronoun:
        return e.base + e.third + e.past > others / 2;
      case WordClass::kVerb:
        if (is_modal(units_[i - 1].lower) && e.base > 0) return true;
        if (is_auxiliary(units_[i - 1].lower)) return e.past > e.adjective && !may_continue(i + 1);
        return e.past > 0 && others == 0;
      case WordClass::kConjunction:
        return clause_has_verb_ && e.past + e.third > others && !(e.adjective > 0 && may_continue(i + 1));
      case WordClass::kPreposition:
        return is_text(i - 1, "to") &&
               e.base > (is_closed_as(i + 1, WordClass::kPreposition) ? others / 4 : others);
      case WordClass::kOther:
        return i > 0 && e.past > 0 && is_closed_as(i + 1, WordClass::kPreposition) && e.noun == 0;
      default:
        return false;
    }
  }

  // "a can of soup", "the past".
  bool is_noun_here(size_t i) const {
    static const std::vector<std::string_view> words = {"can", "will", "might", "past", "must"};
    if (std::find(words.begin(), words.end(), units_[i].lower) == words.end()) return false;
    const WordClass previous = before(i);
    return previous == WordClass::kDeterminer || previous == WordClass::kAdjective;
  }

  // "a round pendant", "a diamond pendant": of nouns that end like adjectives. A rare word before one keeps it a noun.
  bool is_taken_for_adjective(size_t i) const {
    if (before(i) == WordClass::kNoun && is_like_past_after_noun(units_[i].lower)) return !is_verb_next(i);
    if (i == 0 || !is_like_adjective(units_[i].lower)) return false;
    if (before(i) == WordClass::kNoun) return evidence(i - 1).noun > 0.5;
    size_t first = i;
    while (first > 0 && units_[first - 1].word_class == WordClass::kAdjective) --first;
    return first < i && first > 0 && (is_text(first - 1, "a") || is_text(first - 1, "an"));
  }

  WordClass decide(size_t i) const {
    const auto& unit = units_[i];
    if (unit.lower == "both" && i > 0 && units_[i - 1].word_class == WordClass::kVerb)
      return WordClass::kAdverb;
    if (unit.lower == "next" && i > 0 && is_auxiliary(units_[i - 1].lower)) return WordClass::kAdjective;
    if (unit.closed) return is_noun_here(i) ? WordClass::kNoun : *unit.closed;
    const auto& e = unit.evidence;
    if (is_shape_like_noun(unit.lower) && has(i + 1) && is_like_pronoun(units_[i + 1].lower))
      return WordClass::kNoun;
    if (is_verb(i)) return WordClass::kVerb;
    if (is_plain_adverb(i)) return WordClass::kAdverb;
    const bool is_participle = e.past > 0 || e.ing > 0;
    const bool opens = i > 0 && is_closed_as(i - 1, WordClass::kDeterminer);
    if (e.ing >= std::max(e.noun, 0.5) && (opens || is_in_adjectives(i)) && may_continue(i + 1))
      return WordClass::kAdjective;
    const bool is_of_past = is_open(i + 1) && evidence(i + 1).past > 0 && evidence(i + 1).noun == 0;
    if (is_of_past && e.adjective >= e.noun && e.adjective > 0 && i > 0 &&
        (is_text(i - 1, "a") || is_text(i - 1, "an")))
      return WordClass::kAdjective;
    if (is_linked_adjective(i) && !has_noun_) return WordClass::kAdjective;
    if (may_continue(i + 1) && !is_verb_next(i)) {
      if (e.adjective >= e.noun && e.adjective > 0) return WordClass::kAdjective;
      return e.noun == 0 && is_participle ? WordClass::kAdjective : WordClass::kNoun;
    }
    if (e.noun == 0 && e.ing > 0 && before(i) == WordClass::kDeterminer) return WordClass::kNoun;
    if (e.noun == 0) {
      if (e.adjective > 0 || is_participle) return WordClass::kAdjective;
      return e.adverb > 0 ? WordClass::kAdverb : WordClass::kVerb;
    }
    // "her beloved".
    if (i > 0 && is_possessive(units_[i - 1].lower) && unit.lower.ends_with("ed") && e.adjective > e.noun)
      return WordClass::kAdjective;
    if (is_taken_for_adjective(i)) return WordClass::kAdjective;
    if (has_noun_ && before(i) == WordClass::kNoun && e.adjective > 3 * e.noun) return WordClass::kAdjective;
    if (!is_determined_ && e.adjective > 4 * e.noun && before(i) != WordClass::kPreposition && i > 0)
      return WordClass::kAdjective;
    // Without an article before it an adjective stays one: "sits empty in", "hung low on".
    if (!is_determined_ && !has_adjective_ && std::max(e.adjective, e.adverb) > e.noun &&
        before(i) == WordClass::kVerb)
      return e.adjective >= e.adverb ? WordClass::kAdjective : WordClass::kAdverb;
    return WordClass::kNoun;
  }

  // Whether the unit after i, if i is a noun, is a verb.
  bool is_verb_next(size_t i) const {
    const auto& e = evidence(i);
    if (e.noun == 0 || !is_open(i + 1) ||
        (e.adjective >= e.noun && (evidence(i + 1).noun > 0 || may_continue(i + 2))))
      return false;
    auto copy = units_;
    Tagger probe(copy);
    probe.is_determined_ = is_determined_;
    probe.clause_has_verb_ = clause_has_verb_;
    probe.is_coordinated_ = is_coordinated_;
    copy[i].word_class = WordClass::kNoun;
    return probe.is_verb(i + 1);
  }

  // What the units so far mean for the next ones.
  void note(size_t i) {
    const WordClass word_class = units_[i].word_class;
    const auto& lower = units_[i].lower;
    if (word_class == WordClass::kDeterminer || lower == "'s")
      is_determined_ = true, has_noun_ = has_adjective_ = false;
    if (word_class == WordClass::kNoun) has_noun_ = true;
    if (word_class == WordClass::kAdjective) has_adjective_ = true;
    if (word_class == WordClass::kVerb) has_verb_ = true, clause_has_verb_ = clause_has_verb_ || is_finite(i);
    if (word_class == WordClass::kConjunction && !clause_has_verb_ && has_noun_) is_coordinated_ = true;
    const bool ends_phrase = word_class == WordClass::kVerb || word_class == WordClass::kPreposition ||
                             word_class == WordClass::kPronoun || (is_link(i) && has_noun_) ||
                             word_class == WordClass::kOther;
    if (ends_phrase && lower != "'s" && !(lower == "," && !has_noun_))
      is_determined_ = has_noun_ = has_adjective_ = false;

    if (begins_clause(lower) || lower == ",") clause_has_verb_ = is_coordinated_ = false;
  }
  bool is_finite(size_t i) const {
    const auto& unit = units_[i];
    return unit.closed || unit.evidence.ing == 0;
  }

  std::vector<Unit>& units_;
  bool is_determined_ = false, has_noun_ = false, has_adjective_ = false;  // of the phrase so far
  bool has_verb_ = false, clause_has_verb_ = false, is_coordinated_ = false;
};

}  // namespace

void decide_classes(std::vector<Unit>& units) { Tagger(units).run(); }

}  // namespace pixart::text
