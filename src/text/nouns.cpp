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

// The cached result for a word.
struct Word {
  uint32_t alone = kNone, in_phrase = kNone;  // number of its noun, if it counts as one
  uint32_t unknown = kNone;
  bool opens_phrase = false, may_precede_noun = false;
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

struct NounFinder::State {
  WordNet wordnet;
  StringMap<Word> words = {};
  StringMap<uint32_t> numbers = {};
  std::vector<const std::string*> names = {};  // keys of `numbers`, whose addresses are stable
  std::vector<CaptionWord> caption = {};       // reused memory for the words of a caption

  uint32_t number_of(std::string name) {
    std::replace(name.begin(), name.end(), '_', ' ');
    const auto [entry, is_new] = numbers.emplace(std::move(name), uint32_t(names.size()));
    if (is_new) names.push_back(&entry->first);
    return entry->second;
  }

  const Word& look_up(std::string_view text) {
    if (const auto found = words.find(text); found != words.end()) return found->second;
    Word& word = words[std::string(text)];
    word.opens_phrase = opens_noun_phrase(text);
    if (is_function_word(text) || is_letter_or_number(text)) return word;
    const Evidence evidence = evidence_with_hyphens(wordnet, text);
    if (const auto* noun = noun_of(evidence, false)) word.alone = number_of(*noun);
    if (const auto* noun = noun_of(evidence, true)) word.in_phrase = number_of(*noun);
    // "isn't" and "well-lit" are compounds of words: neither nouns nor names.
    const bool unknown = !evidence.known();
    if (unknown && text.find_first_of("'-") == std::string_view::npos)
      word.unknown = number_of(std::string(text));
    word.may_precede_noun = unknown || is_participle(evidence.bases[kVerb]) ||
                            !evidence.bases[kAdjective].empty() || !evidence.bases[kAdverb].empty();
    return word;
  }
};

NounFinder::NounFinder(const std::filesystem::path& folder)
    : state_(std::make_unique<State>(State{read_wordnet(folder)})) {}
NounFinder::~NounFinder() = default;

const std::string& NounFinder::name(uint32_t number) const { return *state_->names[number]; }

void NounFinder::find(std::string_view caption, CaptionNouns& found) {
  const size_t count = split_words(caption, state_->caption);
  found.words = int64_t(count);
  found.nouns.clear();
  found.unknown.clear();
  bool in_phrase = false;
  for (size_t i = 0; i < count; ++i) {
    std::string_view text = state_->caption[i].text;
    const bool possessive = text.ends_with("'s") && text.size() > 2;
    if (possessive) text.remove_suffix(2);
    if (state_->caption[i].ends_phrase) in_phrase = false;
    const Word& word = state_->look_up(text);
    const uint32_t noun = in_phrase ? word.in_phrase : word.alone;
    if (noun != kNone) found.nouns.push_back(noun);
    if (word.unknown != kNone) found.unknown.push_back(word.unknown);
    const bool names_something = noun != kNone || word.unknown != kNone;
    in_phrase = word.opens_phrase || (possessive && names_something) ||
                (in_phrase && noun == kNone && word.may_precede_noun);
  }
}

}  // namespace pixart::text
