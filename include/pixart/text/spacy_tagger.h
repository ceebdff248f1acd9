// The words of English texts and their parts of speech, by the user's own small pipeline of spaCy 3 (en_core_web_sm): its
// tokenizer, tok2vec, tagger and attribute_ruler run here, without Python. What they give is what spaCy gives without its parser,
// which changes no adjective of T2I-CompBench's prompts (scripts/check_tagger.py).
//
// Sources: spaCy 3.8 and thinc 8.3 (github.com/explosion), whose formats and rules this follows.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

struct TaggedWord {
  std::string text = {};
  size_t begin = 0;       // its place in the text, in bytes
  std::string tag = {};   // of the Penn treebank: "JJ"
  std::string part = {};  // of speech: "ADJ"; "" if the pipeline has no rule for the tag
};

// The words with blanks between them, without those whose part of speech is ADJ.
std::string without_adjectives(const std::vector<TaggedWord>& words);

class SpacyTagger {
 public:
  // A folder of a pipeline, with meta.json, tokenizer, tok2vec/, tagger/ and attribute_ruler/ in it; or that of its Python
  // package, which has such a folder in it. Throws UserError if a file is missing or damaged, or if the pipeline is of another
  // form: other languages, transformers, vectors of words (en_core_web_md, _lg).
  explicit SpacyTagger(const std::filesystem::path& folder);
  ~SpacyTagger();
  SpacyTagger(SpacyTagger&&) noexcept;

  // Invalid UTF-8 is replaced first, as Python's bytes.decode("utf-8", "replace") does. White space other than the blank after
  // a word is a word, too.
  std::vector<TaggedWord> words(std::string_view text) const;

  const std::string& name() const;     // "en_core_web_sm"
  const std::string& version() const;  // "3.8.0"
  const std::string& sha256() const;   // of the files that decide the words and tags

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text
