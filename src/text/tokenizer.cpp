#include "pixart/text/tokenizer.h"

#include <ATen/ATen.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::text {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPad = 0, kEnd = 1, kUnknown = 2;

fs::path model_file(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "spiece.model" : path;
  if (!fs::exists(file)) throw UserError(fmt::format("no tokenizer: {} does not exist. A T5 folder holds spiece.model.", file.string()));
  return file;
}

}  // namespace

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor pieces;
  int64_t extra_ids = 0;

  // A special token at the start of `text`: its id and length, or length 0.
  struct Special {
    int64_t id = 0;
    size_t length = 0;
    bool eats_space = false;
  };
  Special special_at(std::string_view text) const {
    for (const auto& [name, id] : {std::pair{std::string_view("</s>"), kEnd}, std::pair{std::string_view("<pad>"), kPad}, std::pair{std::string_view("<unk>"), kUnknown}})
      if (text.starts_with(name)) return {id, name.size(), false};
    constexpr std::string_view kStart = "<extra_id_";
    if (!text.starts_with(kStart)) return {};
    size_t at = kStart.size();
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at < kStart.size() + 6) ++at;
    const std::string digits(text.substr(kStart.size(), at - kStart.size()));
    if (digits.empty() || at >= text.size() || text[at] != '>' || (digits.size() > 1 && digits[0] == '0') || std::stoll(digits) >= extra_ids) return {};
    return {pieces.GetPieceSize() + extra_ids - 1 - std::stoll(digits), at + 1, true};
  }

  void encode_piece(std::string_view text, std::vector<int64_t>& ids) const {
    if (text.empty()) return;
    std::vector<int> encoded;
    const auto status = pieces.Encode(std::string(text), &encoded);
    PIXART_CHECK(status.ok(), "SentencePiece: {}", status.ToString());
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }
};

Tokenizer::Tokenizer(const fs::path& path, int64_t extra_ids) : state_(std::make_unique<State>()) {
  const fs::path file = model_file(path);
  const auto status = state_->pieces.Load(file.string());
  if (!status.ok()) throw UserError(fmt::format("{} is no SentencePiece model: {}.", file.string(), status.ToString()));
  state_->extra_ids = extra_ids;
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

int64_t Tokenizer::vocab_size() const { return state_->pieces.GetPieceSize() + state_->extra_ids; }

namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

std::string_view strip_right(std::string_view text) {
  const size_t last = text.find_last_not_of(kSpaces);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}
std::string_view strip_left(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

}  // namespace

std::vector<int64_t> Tokenizer::encode(const std::string& text) const {
  std::vector<int64_t> ids;
  std::string_view rest = text;
  bool after_extra = false;
  for (size_t at = 0; at <= rest.size();) {
    const auto special = at < rest.size() ? state_->special_at(rest.substr(at)) : State::Special{};
    if (at < rest.size() && special.length == 0) {
      ++at;
      continue;
    }
    std::string_view before = rest.substr(0, at);
    if (after_extra) before = strip_left(before);
    if (special.eats_space) before = strip_right(before);
    state_->encode_piece(before, ids);
    if (at == rest.size()) break;
    ids.push_back(special.id);
    after_extra = special.eats_space;
    rest = rest.substr(at + special.length);
    at = 0;
  }
  if (ids.empty() || ids.back() != kEnd) ids.push_back(kEnd);
  return ids;
}

Tokens Tokenizer::encode_batch(const std::vector<std::string>& texts, int64_t max_length) const {
  PIXART_CHECK(max_length >= 1);
  const int64_t count = int64_t(texts.size());
  Tokens tokens{at::zeros({count, max_length}, at::kLong), at::zeros({count, max_length}, at::kLong), {}};
  for (int64_t row = 0; row < count; ++row) {
    auto ids = encode(texts[size_t(row)]);
    tokens.uncut.push_back(int64_t(ids.size()));
    if (int64_t(ids.size()) > max_length) {
      ids.resize(size_t(max_length));
      ids.back() = kEnd;
    }
    std::copy(ids.begin(), ids.end(), tokens.ids.data_ptr<int64_t>() + row * max_length);
    std::fill_n(tokens.mask.data_ptr<int64_t>() + row * max_length, ids.size(), 1);
  }
  return tokens;
}

namespace {

class Captions : public sentencepiece::SentenceIterator {
 public:
  explicit Captions(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return at_ >= texts_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return texts_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  size_t at_ = 0;
};

}  // namespace

void train_tokenizer(const std::vector<std::string>& texts, int64_t max_pieces, const fs::path& path) {
  std::string model;
  Captions captions(texts);
  const std::string options = fmt::format(
      "--model_type=unigram --vocab_size={} --hard_vocab_limit=false --pad_id={} --eos_id={} --unk_id={} --bos_id=-1 --num_threads=1 "
      "--minloglevel=2 --character_coverage=1.0 --shuffle_input_sentence=false", max_pieces, kPad, kEnd, kUnknown);
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &captions, &model);
  if (!status.ok()) throw UserError(fmt::format("no tokenizer could be trained on {} captions: {}. Try a larger or smaller text_encoder.vocabulary.", texts.size(), status.ToString()));
  write_file_atomically(path, model);
}

}  // namespace pixart::text
