// The T5 tokenizer: SentencePiece plus T5's special tokens, as transformers' T5Tokenizer (slow, legacy) does
// it.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pixart::text {

struct Tokens {
  at::Tensor ids;              // [B, T] int64, right-padded with 0
  at::Tensor mask;             // [B, T] int64, 1 = token (</s> included)
  std::vector<int64_t> uncut;  // [B] length without truncation; > T means the caption was cut
};

class Tokenizer {
 public:
  // `path`: spiece.model, or a folder that holds one (tokenizer_config.json's extra_ids is honoured).
  explicit Tokenizer(const std::filesystem::path& path, int64_t extra_ids = 100);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  std::vector<int64_t> encode(const std::string& text) const;  // with </s>, not truncated
  Tokens encode_batch(const std::vector<std::string>& texts, int64_t max_length) const;
  int64_t vocab_size() const;  // pieces + extra ids

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Trains a small unigram model with T5's special ids (pad 0, </s> 1, <unk> 2) on `texts`; deterministic.
// Used by the demo, whose captions need no real T5 vocabulary. Writes `path` (spiece.model).
void train_tokenizer(const std::vector<std::string>& texts, int64_t max_pieces,
                     const std::filesystem::path& path);

}  // namespace pixart::text
