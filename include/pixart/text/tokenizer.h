// The T5 tokenizer: SentencePiece and T5's special tokens, as in transformers' T5Tokenizer (slow, legacy).
//
// spiece.model is SentencePiece's own file. tokenizer.json, the only file that transformers 5 writes, holds
// the same pieces, scores and character map; SentencePiece gets a model made of them, so both files of a
// model give the same tokens. (Hugging Face's tokenizers library cuts some unusual texts in another way: it
// looks up whole clusters of combining characters in the map, and takes U+0085 for white space.)
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixart::text {

struct Tokens {
  at::Tensor ids;              // [B, T] int64, right-padded with 0
  at::Tensor mask;             // [B, T] int64, 1 = token (</s> included)
  std::vector<int64_t> uncut;  // [B] length without truncation; > T if the caption was cut
};

// The file that Tokenizer(folder) reads: spiece.model, or tokenizer.json in a folder without it.
std::optional<std::filesystem::path> tokenizer_file(const std::filesystem::path& folder);

// The folder with the tokenizer of the text encoder in `text_encoder`: this folder, or its sister in a
// pipeline (text_encoder -> tokenizer, text_encoder_3 -> tokenizer_3). The first of them with spiece.model,
// then the first with tokenizer.json; this folder if there is none.
std::filesystem::path tokenizer_folder(const std::filesystem::path& text_encoder);

class Tokenizer {
 public:
  // `path`: spiece.model or tokenizer.json, under any name, or a folder with one of them
  // (tokenizer_file()). <extra_id_k> are those of tokenizer.json; next to spiece.model, `extra_ids` of
  // tokenizer_config.json counts, else the parameter. Throws UserError if a file is missing, is damaged or
  // is not a T5 vocabulary (pad 0, </s> 1, <unk> 2), or if a tokenizer.json has another model (BPE,
  // WordPiece), another normaliser or other words than the T5 tokenizers that transformers writes.
  explicit Tokenizer(const std::filesystem::path& path, int64_t extra_ids = 100);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  // The token ids with </s>, not truncated. </s>, <pad>, <unk> and <extra_id_k> in the text become these
  // tokens; <extra_id_k> removes the white space around it; its id is vocab_size() - 1 - k, or as
  // tokenizer.json says. Invalid UTF-8 counts as U+FFFD.
  std::vector<int64_t> encode(const std::string& text) const;
  // The first max_length - 1 pieces and </s>. This and encode() may be called from several threads.
  Tokens encode_batch(const std::vector<std::string>& texts, int64_t max_length) const;
  int64_t vocab_size() const;  // pieces + extra ids

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Trains a small unigram model with T5's special ids (pad 0, </s> 1, <unk> 2) on `texts`; deterministic.
// Repeated words become one piece each, up to `max_pieces`. For the demo, whose captions need no real T5
// vocabulary. Writes `path` (spiece.model), with fewer than `max_pieces` pieces if the texts give no more.
// Throws UserError if there is no text, or if `max_pieces` is less than the number of letters.
void train_tokenizer(const std::vector<std::string>& texts, int64_t max_pieces,
                     const std::filesystem::path& path);

}  // namespace pixart::text
