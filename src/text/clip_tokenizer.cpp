#include "pixart/text/clip_tokenizer.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "byte_pairs.h"
#include "clip_vocabulary.h"
#include "fix_text.h"
#include "html_entities.h"
#include "pcre_regex.h"
#include "pixart/base/error.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>";

// Unicode's white space as members of a class; Python's `re` also counts U+001C to U+001F, which neither
// reference does.
const std::string kWhite =
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
const std::string kSpecials = "<\\|startoftext\\|>|<\\|endoftext\\|>";
const std::string kWords = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^" + kWhite + "\\p{L}\\p{N}";
// Python's module regex, without case: a mark whose capital is a letter counts neither as one nor as another
// character. It is the only one.
const std::string kWordsOfRegex = kWords + "\\x{345}]+", kWordsOfHuggingFace = kWords + "]+";

void join_white_space(std::string& text) {
  static const Regex kRun("[" + kWhite + "]+");
  kRun.replace(text, " ");
}

// CLIPTokenizerFast lower-cases character by character, so that no sigma is a final one.
std::string lower_each(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    constexpr char32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3;
    if (next_code_point(text, at) == kCapitalSigma)
      append_utf8(result, kSmallSigma);
    else
      result += text.substr(start, at - start);
  }
  return lower(result);
}

std::string cleaned(const std::string& input, ClipCleaning cleaning) {
  std::string text = replace_invalid_utf8(input);
  if (cleaning == ClipCleaning::kHuggingFace) {
    text = nfc(text);
    join_white_space(text);
    return lower_each(text);
  }
  text = unescape_html(unescape_html(fix_text(text)));
  text = std::string(strip(text));
  join_white_space(text);
  return lower(strip(text));
}

template <class Use>
void for_each_match(const Regex& regex, std::string_view text, Use&& use) {
  for (size_t at = 0; at < text.size();) {
    const auto found = regex.search(text, at);
    if (!found || found->end() == at) return;  // no pattern matches an empty text
    use(*found);
    at = found->end();
  }
}

}  // namespace

std::filesystem::path clip_tokenizer_folder(const std::filesystem::path& model) {
  constexpr const char* kFolder = "tokenizer";
  const auto whole = (std::filesystem::absolute(model) / "").lexically_normal().parent_path();
  for (const auto& folder : {model, model / kFolder, whole.parent_path() / kFolder})
    for (const char* name : {"vocab.json", "tokenizer.json"})
      if (std::filesystem::exists(folder / name)) return folder;
  return model;
}

struct ClipTokenizer::State {
  BytePairs pairs;
  int64_t start = 0, end = 0, vocab_size = 0;

  State(const ClipVocabulary& vocabulary, const std::string& name) : pairs(vocabulary, name) {
    for (const auto& [special, id] : {std::pair(kStart, &start), std::pair(kEnd, &end)}) {
      const auto found = vocabulary.ids.find(std::string(special));
      if (found == vocabulary.ids.end())
        throw UserError(
            fmt::format("{}: its vocabulary has no token {}; it is not one of CLIP.", name, special));
      *id = found->second;
    }
    for (const auto& [token, id] : vocabulary.ids) vocab_size = std::max(vocab_size, id + 1);
  }

  void add_word(std::string_view word, std::vector<int64_t>& ids) const {
    if (word == kStart)
      ids.push_back(start);
    else if (word == kEnd)
      ids.push_back(end);
    else
      pairs.encode(word, ids);
  }

  // openai/CLIP finds special tokens where a word may begin.
  void add_as_openai(const std::string& text, std::vector<int64_t>& ids) const {
    static const Regex kParts("(?i)" + kSpecials + "|" + kWordsOfRegex);
    for_each_match(kParts, text, [&](const Regex::Match& found) { add_word(found.of(text), ids); });
  }

  // CLIPTokenizerFast cuts the text at special tokens first.
  void add_as_hugging_face(const std::string& text, std::vector<int64_t>& ids) const {
    static const Regex kSpecial(kSpecials), kParts(kWordsOfHuggingFace);
    const auto add_words = [&](std::string_view part) {
      for_each_match(kParts, part, [&](const Regex::Match& found) { pairs.encode(found.of(part), ids); });
    };
    size_t done = 0;
    for_each_match(kSpecial, text, [&](const Regex::Match& found) {
      add_words(std::string_view(text).substr(done, found.begin() - done));
      add_word(found.of(text), ids);
      done = found.end();
    });
    add_words(std::string_view(text).substr(done));
  }
};

ClipTokenizer::ClipTokenizer(const std::filesystem::path& path)
    : state_(std::make_unique<State>(read_clip_vocabulary(path), path.string())) {}
ClipTokenizer::~ClipTokenizer() = default;
ClipTokenizer::ClipTokenizer(ClipTokenizer&&) noexcept = default;

int64_t ClipTokenizer::vocab_size() const { return state_->vocab_size; }

std::vector<int64_t> ClipTokenizer::encode(const std::string& text, ClipCleaning cleaning) const {
  std::vector<int64_t> ids = {state_->start};
  const std::string clean = cleaned(text, cleaning);
  if (cleaning == ClipCleaning::kOpenAi)
    state_->add_as_openai(clean, ids);
  else
    state_->add_as_hugging_face(clean, ids);
  ids.push_back(state_->end);
  return ids;
}

Tokens ClipTokenizer::encode_batch(const std::vector<std::string>& texts, int64_t max_length,
                                   ClipCleaning cleaning) const {
  PIXART_CHECK(max_length >= 2, "max_length {}", max_length);
  const auto count = int64_t(texts.size());
  Tokens tokens{at::zeros({count, max_length}, at::kLong), at::zeros({count, max_length}, at::kLong), {}};
  for (int64_t row = 0; row < count; ++row) {
    std::vector<int64_t> ids = encode(texts[size_t(row)], cleaning);
    tokens.uncut.push_back(int64_t(ids.size()));
    if (int64_t(ids.size()) > max_length) {
      ids.resize(size_t(max_length));
      ids.back() = state_->end;
    }
    std::copy(ids.begin(), ids.end(), tokens.ids.data_ptr<int64_t>() + row * max_length);
    std::fill_n(tokens.mask.data_ptr<int64_t>() + row * max_length, ids.size(), 1);
  }
  return tokens;
}

}  // namespace pixart::text
