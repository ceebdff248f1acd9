// The tokenizer.json of Hugging Face's tokenizers library, as transformers writes it for T5.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "unigram.h"

namespace pixart::text {

struct TokenizerJson {
  std::vector<UnigramSegmenter::Piece> pieces;  // by id, the special ones among them, without the sentinels
  std::vector<int64_t> sentinels;               // [k]: the id of <extra_id_k>
  // What SentencePiece's normaliser replaces. "": no character is replaced, and marked_words() takes the
  // place of the normaliser.
  std::string character_map;
  bool marks_first_word = true;  // false: the file leaves out the mark that T5 has before the first word
};

// Throws UserError, which names `name`, if the file is damaged, or if its parts are not those that
// transformers makes of a T5 model of SentencePiece: Unigram; a precompiled character map; white space
// removed at the ends and joined; a mark before each word; </s> after the text. Padding, truncation and the
// flags of special tokens are ignored.
TokenizerJson parse_tokenizer_json(std::string_view bytes, const std::string& name);

// The words of valid UTF-8 between white space, each with ▁ before it if it has none: what tokenizers'
// WhitespaceSplit and Metaspace make of a text.
std::string marked_words(std::string_view text);

// White space for tokenizers: Unicode's, without the separators U+001C to U+001F of Python.
bool is_white_space(char32_t code_point);

}  // namespace pixart::text
