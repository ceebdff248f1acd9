// CLIP's tokenizer: byte-pair encoding of lower-cased words, as openai/CLIP and transformers do it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/text/tokenizer.h"

namespace pixart::text {

// What is done with a text before it is cut into words. src/text/README.md lists where both differ.
enum class ClipCleaning {
  kOpenAi,       // openai/CLIP and open_clip: ftfy, HTML entities twice, white space joined, lower case
  kHuggingFace,  // transformers' CLIPTokenizerFast: NFC, white space joined, lower case of each character
};

// The folder with the tokenizer of the CLIP model in `model`: this folder, its sub-folder tokenizer, or the folder
// tokenizer next to it; `model` if none has vocab.json or tokenizer.json.
std::filesystem::path clip_tokenizer_folder(const std::filesystem::path& model);

class ClipTokenizer {
 public:
  // `path`: a folder with vocab.json and merges.txt, or with tokenizer.json, or this file. Throws UserError if a
  // file is missing or damaged, or is not a vocabulary of CLIP (all bytes, each also as the end of a word,
  // <|startoftext|>, <|endoftext|>).
  explicit ClipTokenizer(const std::filesystem::path& path);
  ~ClipTokenizer();
  ClipTokenizer(ClipTokenizer&&) noexcept;

  // Start token, text, end token, not cut. <|startoftext|> and <|endoftext|> in the text become these tokens.
  // Invalid UTF-8 counts as U+FFFD.
  std::vector<int64_t> encode(const std::string& text, ClipCleaning cleaning) const;
  // Longer texts are cut in front of the end token; padded with 0. This and encode() may be called from several
  // threads.
  Tokens encode_batch(const std::vector<std::string>& texts, int64_t max_length, ClipCleaning cleaning) const;
  int64_t vocab_size() const;  // the largest id, plus 1

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text
