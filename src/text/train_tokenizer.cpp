#include <sentencepiece_trainer.h>

#include <sstream>
#include <unordered_map>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/text/tokenizer.h"
#include "special_ids.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr int kMaxBytes = 1 << 20;  // SentencePiece ignores longer texts

// Every occurrence of every word, twice in a row. SentencePiece's seeds are the substrings that recur with
// different characters after them. In its own list of distinct words, "background" occurs once with one
// ending, so it would never become a piece.
std::vector<std::string> doubled_words(const std::vector<std::string>& texts) {
  std::vector<std::string> words;
  for (const auto& text : texts) {
    std::istringstream stream(replace_invalid_utf8(text));
    for (std::string word; stream >> word;) words.push_back(word + " " + word);
  }
  return words;
}

class Words : public sentencepiece::SentenceIterator {
 public:
  explicit Words(const std::vector<std::string>& words) : words_(words) {}
  bool done() const override { return at_ >= words_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return words_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& words_;
  size_t at_ = 0;
};

}  // namespace

void train_tokenizer(const std::vector<std::string>& texts, int64_t max_pieces,
                     const std::filesystem::path& path) {
  const auto words = doubled_words(texts);
  if (words.empty()) throw UserError("cannot train a tokenizer: there is no caption with text.");
  // With one thread and in the given order, the same texts give the same file. The texts may give fewer
  // pieces than the limit.
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(max_pieces)},
      {"hard_vocab_limit", "false"},
      {"split_by_whitespace", "false"},  // otherwise the list of distinct words is used
      {"character_coverage", "1.0"},
      {"pad_id", std::to_string(kPadId)},
      {"eos_id", std::to_string(kEndId)},
      {"unk_id", std::to_string(kUnknownId)},
      {"bos_id", "-1"},
      {"byte_fallback", "false"},
      {"num_threads", "1"},
      {"shuffle_input_sentence", "false"},
      {"max_sentence_length", std::to_string(kMaxBytes)},
      {"minloglevel", "4"},
  };
  Words sentences(words);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &sentences, &model);
  if (!status.ok())
    throw UserError(
        fmt::format("cannot train a tokenizer of {} pieces on {} captions ({}). It needs a piece for every "
                    "letter: allow more pieces.",
                    max_pieces, texts.size(), status.ToString()));
  write_file_atomically(path, model);
}

}  // namespace pixart::text
