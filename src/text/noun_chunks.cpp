#include "pixart/text/noun_chunks.h"

#include <algorithm>

#include "phrase_tagger.h"
#include "pixart/base/words.h"

namespace pixart::text {
namespace {

class ChunkFinder {
 public:
  explicit ChunkFinder(const std::vector<Unit>& units) : units_(units) {}

  // visit(first unit, last unit)
  template <class Visit>
  void run(Visit visit) const {
    bool is_object = false;  // whether the phrase before is what something is made
    for (size_t i = 0; i < units_.size();) {
      if (is(i, WordClass::kPronoun)) {
        visit(i, i);
        is_object = i > 0 && is_make(i - 1);
        ++i;
      } else if (begins_phrase(i)) {
        // Of "made it a stylish room" spaCy leaves out what the object becomes.
        const bool is_result = is_object && is(i, WordClass::kDeterminer);
        is_object = !is_result && i > 0 && is_make(i - 1);
        i = phrase(i, [&](size_t first, size_t last) {
          if (!is_result) visit(first, last);
        });
      } else {
        is_object = false;
        ++i;
      }
    }
  }

 private:
  bool is_make(size_t i) const {
    const auto& word = units_[i].lower;
    return word == "make" || word == "makes" || word == "made" || word == "making";
  }
  bool is(size_t i, WordClass word_class) const {
    return i < units_.size() && units_[i].word_class == word_class;
  }
  bool begins_phrase(size_t i) const {
    return is(i, WordClass::kDeterminer) || is(i, WordClass::kNumber) || is(i, WordClass::kAdjective) ||
           is(i, WordClass::kNoun);
  }
  bool is_modifier(size_t i) const {
    return is(i, WordClass::kNumber) || is(i, WordClass::kAdjective) || is(i, WordClass::kNoun);
  }
  bool is_link(size_t i) const {
    return is(i, WordClass::kConjunction) || (i < units_.size() && units_[i].lower == ",");
  }
  // "a diamond bookshelf" is two phrases, as "the diamond itself" is; "a steel oven sits" too.
  bool begins_own_phrase(size_t i) const {
    const auto& noun = units_[i].lower;
    return !is(i + 1, WordClass::kNoun) && (is_like_pronoun(noun) || is_like_past_after_noun(noun));
  }
  // Where the phrase goes on after unit i; i if it ends there.
  size_t next_of(size_t i, bool has_noun) const {
    if (is(i, WordClass::kDeterminer) && (is(i + 1, WordClass::kDeterminer) || is_modifier(i + 1)))
      return i + 1;
    if (is(i, WordClass::kDeterminer) && is(i + 1, WordClass::kAdverb) && is_modifier(i + 2)) return i + 1;
    if (is(i, WordClass::kAdverb)) return i + 1;
    if (is(i, WordClass::kNoun)) {
      if (i + 1 < units_.size() && units_[i + 1].lower == "'s" && is_modifier(i + 2)) return i + 1;
      if (is(i + 1, WordClass::kNoun)) return begins_own_phrase(i + 1) ? i : i + 1;
      return is(i + 1, WordClass::kAdjective) && is_modifier(i + 2) ? i + 1 : i;
    }
    if (i < units_.size() && units_[i].lower == "'s") return i + 1;
    if (is_modifier(i + 1)) return i + 1;
    if (!has_noun && is(i, WordClass::kAdjective) && is_link(i + 1)) {
      if (is_modifier(i + 2) || (is(i + 2, WordClass::kAdverb) && is(i + 3, WordClass::kAdjective)))
        return i + 2;
      if (is_link(i + 2) && is_modifier(i + 3)) return i + 3;
    }
    return i;
  }
  template <class Visit>
  size_t phrase(size_t first, Visit visit) const {
    size_t last_noun = units_.size(), at = first;
    for (;;) {
      if (is(at, WordClass::kNoun)) last_noun = at;
      const size_t next = next_of(at, last_noun < units_.size());
      if (next == at || next >= units_.size()) break;
      at = next;
    }
    if (last_noun < units_.size()) {
      visit(first, last_noun);
      // "side by side" is one phrase.
      const bool is_twin = last_noun + 2 < units_.size() && units_[last_noun + 1].lower == "by" &&
                           units_[last_noun].lower == units_[last_noun + 2].lower;
      return last_noun + (is_twin ? 3 : 1);
    }
    const bool ends =
        at + 1 >= units_.size() || is(at + 1, WordClass::kOther) || is(at + 1, WordClass::kVerb);
    const bool is_definite = units_[first].lower == "the";
    if (at > first && is_definite && is(first, WordClass::kDeterminer) && is(at, WordClass::kAdjective) &&
        ends)
      visit(first, at);
    return at + 1;
  }

  const std::vector<Unit>& units_;
};

}  // namespace

struct NounChunker::State {
  WordNet wordnet;

  std::vector<Unit> tagged(const std::vector<PromptWord>& words) const {
    auto units = units_of(wordnet, words);
    decide_classes(units);
    return units;
  }
};

NounChunker::NounChunker(const std::filesystem::path& folder)
    : state_(std::make_unique<State>(State{read_wordnet(folder)})) {}
NounChunker::~NounChunker() = default;
NounChunker::NounChunker(NounChunker&&) noexcept = default;

std::vector<PromptWord> NounChunker::words(std::string_view prompt) const {
  auto words = split_prompt(prompt);
  for (const auto& unit : state_->tagged(words)) {
    const bool is_participle =
        unit.word_class == WordClass::kAdjective && unit.evidence.ing > 4 * unit.evidence.adjective;
    for (size_t i = unit.first; i <= unit.last; ++i)
      if (!is_hyphen(words[i])) words[i].word_class = is_participle ? WordClass::kVerb : unit.word_class;
  }
  return words;
}

std::vector<std::string> NounChunker::chunks(std::string_view prompt) const {
  const auto words = split_prompt(prompt);
  const auto units = state_->tagged(words);
  std::vector<std::string> chunks;
  ChunkFinder(units).run([&](size_t first, size_t last) {
    const size_t begin = words[units[first].first].begin;
    const auto& end = words[units[last].last];
    chunks.emplace_back(prompt.substr(begin, end.begin + end.text.size() - begin));
  });
  return chunks;
}

std::string NounChunker::without_adjectives(std::string_view prompt) const {
  std::vector<std::string> kept;
  for (const auto& word : words(prompt))
    if (word.word_class != WordClass::kAdjective) kept.push_back(word.text);
  return join(kept, " ");
}

}  // namespace pixart::text
