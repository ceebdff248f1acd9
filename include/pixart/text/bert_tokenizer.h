// BERT's tokenizer (bert-base-uncased), as transformers' BertTokenizer: lower case, no accents, words cut
// into pieces.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixart::text {

class BertTokenizer {
 public:
  // `path`: a folder with vocab.txt or tokenizer.json, or one of these files. Throws UserError if a file is
  // missing or damaged, or is not a vocabulary of this kind ([PAD] 0, [UNK], [CLS], [SEP]; lower case).
  explicit BertTokenizer(const std::filesystem::path& path);
  ~BertTokenizer();
  BertTokenizer(BertTokenizer&&) noexcept;

  // [CLS], text, [SEP]. [PAD], [UNK], [CLS], [SEP] and [MASK] in the text become these tokens. Invalid UTF-8
  // counts as U+FFFD, which is left out. Any thread may call it.
  std::vector<int64_t> encode(const std::string& text) const;
  // Of a longer text the first tokens, and [SEP].
  std::vector<int64_t> encode(const std::string& text, int64_t max_length) const;
  std::optional<int64_t> id_of(const std::string& token) const;
  int64_t vocab_size() const;  // the largest id, plus 1

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text
