#include <sentencepiece_trainer.h>

#include <unordered_map>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/text/tokenizer.h"
#include "special_ids.h"
#include "unicode.h"

namespace pixart::text {
namespace {

// Texts with a hundred thousand bytes are still read; SentencePiece leaves out what is longer than this.
constexpr int kMaxBytes = 1 << 20;

class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return at_ >= texts_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return texts_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  size_t at_ = 0;
};

}  // namespace

void train_tokenizer(const std::vector<std::string>& texts, int64_t max_pieces,
                     const std::filesystem::path& path) {
  std::vector<std::string> valid;
  for (const auto& text : texts)
    if (!strip(replace_invalid_utf8(text)).empty()) valid.push_back(replace_invalid_utf8(text));
  if (valid.empty()) throw UserError("no tokenizer can be trained: there is no caption with text.");
  // One thread and the order given: the same texts give the same file. A limit that the texts cannot fill is
  // fine.
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(max_pieces)},
      {"hard_vocab_limit", "false"},
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
  Texts sentences(valid);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &sentences, &model);
  if (!status.ok())
    throw UserError(
        fmt::format("no tokenizer of {} pieces could be trained on {} captions ({}). It needs a piece for "
                    "every letter: allow more pieces.",
                    max_pieces, valid.size(), status.ToString()));
  write_file_atomically(path, model);
}

}  // namespace pixart::text
