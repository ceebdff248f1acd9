#include "pixart/text/nouns.h"

#include <algorithm>

#include "caption_words.h"
#include "function_words.h"
#include "pixart/base/env.h"
#include "unicode.h"
#include "wordnet.h"

namespace pixart::text {
namespace {

// The share of a lemma's uses that have a form; rules 4 and 5 of the header.
double noun_share(Form form) { return form == Form::kBase ? 0.75 : 0.25; }

double verb_share(Form form, bool in_phrase) {
  if (in_phrase) return form == Form::kIng ? 0.05 : 0;
  switch (form) {
    case Form::kBase:
      return 0.4;
    case Form::kS:
      return 0.1;
    case Form::kPast:
      return 0.3;
    default:
      return 0.2;
  }
}

struct Evidence {
  std::array<std::vector<BaseForm>, kNumPartsOfSpeech> bases;
  bool known() const {
    return std::any_of(bases.begin(), bases.end(), [](const auto& forms) { return !forms.empty(); });
  }
};

Evidence evidence_of(const WordNet& wordnet, const std::string& word) {
  Evidence evidence;
  for (int part = kNoun; part < kNumPartsOfSpeech; ++part)
    evidence.bases[size_t(part)] = base_forms(wordnet, word, PartOfSpeech(part));
  return evidence;
}

// WordNet's own search tries a word with its hyphen, with a blank instead, and without it.
Evidence evidence_with_hyphens(const WordNet& wordnet, std::string_view word) {
  std::string form(word);
  Evidence evidence = evidence_of(wordnet, form);
  if (evidence.known() || form.find('-') == std::string::npos) return evidence;
  std::replace(form.begin(), form.end(), '-', '_');
  evidence = evidence_of(wordnet, form);
  if (evidence.known()) return evidence;
  std::erase(form, '_');
  return evidence_of(wordnet, form);
}

uint32_t most_uses(const std::vector<BaseForm>& forms) {
  uint32_t most = 0;
  for (const auto& form : forms) most = std::max(most, form.uses);
  return most;
}

// The base form if the word counts as a noun, else null.
const std::string* noun_of(const Evidence& evidence, bool in_phrase) {
  const BaseForm* best = nullptr;
  double noun = -1, verb = 0;
  for (const auto& base : evidence.bases[kNoun]) {
    const double value = base.uses * noun_share(base.form);
    if (value <= noun) continue;
    best = &base;
    noun = value;
  }
  for (const auto& base : evidence.bases[kVerb])
    verb = std::max(verb, base.uses * verb_share(base.form, in_phrase));
  const double rest = std::max(most_uses(evidence.bases[kAdjective]), most_uses(evidence.bases[kAdverb]));
  return best != nullptr && noun >= std::max(verb, rest) ? &best->text : nullptr;
}

bool is_participle(const std::vector<BaseForm>& verbs) {
  return std::any_of(verbs.begin(), verbs.end(),
                     [](const auto& base) { return base.form == Form::kPast || base.form == Form::kIng; });
}

constexpr uint32_t kNone = UINT32_MAX;

// What is known about a word.
struct Word {
  uint32_t alone = kNone, in_phrase = kNone;  // number of its noun, if it counts as one
  bool is_unknown = false, opens_phrase = false, may_precede_noun = false;
};

// Words in a table that is half empty, their letters one after the other.
class WordCache {
 public:
  const Word* find(std::string_view text, size_t hash) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place_of(text, hash)];
    return slot.is_used() ? &slot.word : nullptr;
  }
  void add(std::string_view text, size_t hash, const Word& word) {
    if (size_ == NounFinder::kMostCached || letters_.size() + text.size() > kMostLetters) return;
    if (slots_.empty()) slots_.resize(kSlots);
    slots_[place_of(text, hash)] = {hash, uint32_t(letters_.size()), uint32_t(text.size()), word};
    letters_ += text;
    ++size_;
  }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kSlots = 2 * NounFinder::kMostCached;
  static constexpr size_t kMostLetters = 16 * NounFinder::kMostCached;
  struct Slot {
    size_t hash = 0;
    uint32_t begin = 0, bytes = 0;
    Word word = {};
    bool is_used() const { return bytes > 0; }
  };

  // The slot of the word, or the free one that it would get.
  size_t place_of(std::string_view text, size_t hash) const {
    size_t i = hash % kSlots;
    while (slots_[i].is_used() && !is_of(slots_[i], text, hash)) i = (i + 1) % kSlots;
    return i;
  }
  bool is_of(const Slot& slot, std::string_view text, size_t hash) const {
    return slot.hash == hash && std::string_view(letters_).substr(slot.begin, slot.bytes) == text;
  }

  std::vector<Slot> slots_;
  std::string letters_;
  size_t size_ = 0;
};

bool is_letter_or_number(std::string_view text) {
  size_t at = 0;
  next_code_point(text, at);
  return at == text.size() || (text.front() >= '0' && text.front() <= '9');
}

}  // namespace

std::filesystem::path wordnet_folder() {
  return environment_variable("WNSEARCHDIR").value_or("/usr/share/wordnet");
}

namespace {

Word analysed(const WordNet& wordnet, std::string_view text) {
  Word word{.opens_phrase = opens_noun_phrase(text)};
  if (is_function_word(text) || is_letter_or_number(text)) return word;
  const Evidence evidence = evidence_with_hyphens(wordnet, text);
  const auto number_of = [&](const std::string* noun) {
    return noun == nullptr ? kNone : wordnet.lemmas.find(*noun)->second.noun;
  };
  word.alone = number_of(noun_of(evidence, false));
  word.in_phrase = number_of(noun_of(evidence, true));
  // "isn't" and "well-lit" are compounds of words: neither nouns nor names.
  const bool is_known = evidence.known();
  word.is_unknown = !is_known && text.find_first_of("'-") == std::string_view::npos;
  word.may_precede_noun = !is_known || is_participle(evidence.bases[kVerb]) ||
                          !evidence.bases[kAdjective].empty() || !evidence.bases[kAdverb].empty();
  return word;
}

}  // namespace

struct NounFinder::State {
  std::shared_ptr<const WordNet> wordnet;
  WordCache cache = {};
  CaptionWords caption = {};

  Word look_up(std::string_view text) {
    const size_t hash = std::hash<std::string_view>()(text);
    if (const Word* word = cache.find(text, hash)) return *word;
    const Word word = analysed(*wordnet, text);
    cache.add(text, hash, word);
    return word;
  }
};

NounFinder::NounFinder(const std::filesystem::path& folder)
    : state_(std::make_unique<State>(State{std::make_shared<const WordNet>(read_wordnet(folder))})) {}
NounFinder::NounFinder(const NounFinder& other)
    : state_(std::make_unique<State>(State{other.state_->wordnet})) {}
NounFinder::~NounFinder() = default;

std::string NounFinder::name(uint32_t number) const {
  std::string name = *state_->wordnet->nouns[number];
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

size_t NounFinder::num_cached() const { return state_->cache.size(); }

void NounFinder::find(std::string_view caption, CaptionNouns& found) {
  CaptionWords& words = state_->caption;
  words.split(caption);
  found.words = int64_t(words.size());
  found.nouns.clear();
  found.unknown.clear();
  bool in_phrase = false;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view text = words.text(i);
    const bool possessive = text.ends_with("'s") && text.size() > 2;
    if (possessive) text.remove_suffix(2);
    if (words.ends_phrase(i)) in_phrase = false;
    const Word word = state_->look_up(text);
    const uint32_t noun = in_phrase ? word.in_phrase : word.alone;
    if (noun != kNone) found.nouns.push_back(noun);
    if (word.is_unknown) found.unknown.emplace_back(text);
    in_phrase = word.opens_phrase || (possessive && (noun != kNone || word.is_unknown)) ||
                (in_phrase && noun == kNone && word.may_precede_noun);
  }
}

}  // namespace pixart::text
