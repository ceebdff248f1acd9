// WordNet's dictionary files: the lemmas of each part of speech, how often each was tagged with it in
// WordNet's own texts, and the base forms of a word. Formats: WordNet's manual pages wndb(5), cntlist(5),
// morphy(7).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixart::text {

enum PartOfSpeech { kNoun, kVerb, kAdjective, kAdverb, kNumPartsOfSpeech };

struct Lemma {
  std::array<bool, kNumPartsOfSpeech> listed = {};
  std::array<uint32_t, kNumPartsOfSpeech> uses = {};  // number of tagged uses
  uint32_t noun = 0;                                  // its place in WordNet::nouns, if it is listed there
};

enum class Form {
  kBase,
  kS,
  kPast,
  kIng
};  // kS: also every plural; kPast: also every irregular form of a verb

struct BaseForm {
  std::string text;
  Form form = Form::kBase;
  uint32_t uses = 0;
};

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

struct WordNet {
  StringMap<Lemma> lemmas;                // lower-case, with _ for a blank
  std::vector<const std::string*> nouns;  // keys of `lemmas`, whose addresses are stable; in the file's order
  std::array<StringMap<std::vector<std::string>>, kNumPartsOfSpeech> exceptions;
};

// Throws UserError as described at NounFinder.
WordNet read_wordnet(const std::filesystem::path& folder);

// The lemmas of this part of speech of which `word` may be a form, the word itself first; may be empty.
std::vector<BaseForm> base_forms(const WordNet& wordnet, std::string_view word, PartOfSpeech part);

}  // namespace pixart::text
