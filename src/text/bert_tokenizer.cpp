#include "pixart/text/bert_tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "bert_vocabulary.h"
#include "pixart/base/error.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr int64_t kLongestWord = 100;  // characters; a longer word is [UNK]
constexpr std::array<std::string_view, 5> kSpecials = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

utf8proc_category_t category(char32_t c) { return utf8proc_category(utf8proc_int32_t(c)); }

bool is_white(char32_t c) {
  return c == '\t' || c == '\n' || c == '\r' || (is_space(c) && category(c) != UTF8PROC_CATEGORY_CC);
}

// Left out of every text.
bool is_removed(char32_t c) {
  constexpr char32_t kReplacement = 0xFFFD;
  const auto kind = category(c);
  return c == kReplacement || kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_CO;
}

// ASCII's symbols count, too.
bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return c > ' ' && c < 0x7F && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9');
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

// The blocks of Chinese characters that Hugging Face's tokenizers knows; each is a word.
bool is_chinese(char32_t c) {
  constexpr std::array<std::pair<char32_t, char32_t>, 7> kBlocks = {{{0x3400, 0x4DBF},
                                                                     {0x4E00, 0x9FFF},
                                                                     {0xF900, 0xFAFF},
                                                                     {0x20000, 0x2A6DF},
                                                                     {0x2A700, 0x2B81F},
                                                                     {0x2B920, 0x2CEAF},
                                                                     {0x2F800, 0x2FA1F}}};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [c](const auto& block) { return c >= block.first && c <= block.second; });
}

template <class Use>
void for_each_character(std::string_view text, const Use& use) {
  for (size_t at = 0; at < text.size();) use(next_code_point(text, at));
}

// Without what is removed; white space is a blank, and Chinese characters are between two.
std::string cleaned(std::string_view text) {
  std::string result;
  for_each_character(text, [&](char32_t c) {
    if (is_white(c))
      result += ' ';
    else if (is_chinese(c))
      append_utf8(result += ' ', c), result += ' ';
    else if (!is_removed(c))
      append_utf8(result, c);
  });
  return result;
}

// Lower case, without the marks that a letter can be separated from.
std::string plain(std::string_view text) {
  std::string result;
  for_each_character(nfd(cleaned(text)), [&](char32_t c) {
    if (category(c) != UTF8PROC_CATEGORY_MN)
      append_utf8(result, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
  });
  return result;
}

// Words between blanks; each punctuation mark is one.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for_each_character(plain(text), [&](char32_t c) {
    const bool ends = c == ' ' || is_punctuation(c);
    if (ends && !words.back().empty()) words.emplace_back();
    if (c != ' ') append_utf8(words.back(), c);
    if (ends && !words.back().empty()) words.emplace_back();
  });
  if (words.back().empty()) words.pop_back();
  return words;
}

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; });
}

}  // namespace

struct BertTokenizer::State {
  std::unordered_map<std::string, int64_t> ids;
  int64_t unknown = 0, start = 0, end = 0, vocab_size = 0;
  size_t longest = 0;  // bytes of a token

  explicit State(std::unordered_map<std::string, int64_t> vocabulary) : ids(std::move(vocabulary)) {
    unknown = ids.at("[UNK]"), start = ids.at("[CLS]"), end = ids.at("[SEP]");
    for (const auto& [token, id] : ids) {
      vocab_size = std::max(vocab_size, id + 1);
      longest = std::max(longest, token.size());
    }
  }

  // The longest piece of `word` from `at` on, and where it ends; no id if there is none.
  std::pair<std::optional<int64_t>, size_t> piece(const std::string& word, size_t at) const {
    const std::string before = at == 0 ? "" : "##";
    for (size_t stop = std::min(word.size(), at + longest); stop > at; --stop) {
      const bool is_inside_character = stop < word.size() && (uint8_t(word[stop]) & 0xC0) == 0x80;
      if (is_inside_character) continue;
      const auto found = ids.find(before + word.substr(at, stop - at));
      if (found != ids.end()) return {found->second, stop};
    }
    return {std::nullopt, at};
  }

  // A word of which a part has no piece is unknown as a whole.
  void add_word(const std::string& word, std::vector<int64_t>& result) const {
    const size_t before = result.size();
    bool is_known = count_characters(word) <= kLongestWord;
    for (size_t at = 0; is_known && at < word.size();) {
      const auto [id, stop] = piece(word, at);
      is_known = id.has_value();
      if (is_known) result.push_back(*id);
      at = stop;
    }
    if (is_known) return;
    result.resize(before);
    result.push_back(unknown);
  }

  // The first special token at or after `at`; its place is npos if there is none.
  std::pair<size_t, std::string_view> next_special(std::string_view text, size_t at) const {
    for (size_t i = text.find('[', at); i != std::string_view::npos; i = text.find('[', i + 1))
      for (const auto& special : kSpecials)
        if (text.substr(i).starts_with(special) && ids.contains(std::string(special))) return {i, special};
    return {std::string_view::npos, {}};
  }

  std::vector<int64_t> encode(std::string_view text) const {
    std::vector<int64_t> result = {start};
    for (size_t at = 0; at <= text.size();) {
      const auto [place, special] = next_special(text, at);
      for (const auto& word : words_of(text.substr(at, std::min(place, text.size()) - at)))
        add_word(word, result);
      if (special.empty()) break;
      result.push_back(ids.at(std::string(special)));
      at = place + special.size();
    }
    result.push_back(end);
    return result;
  }
};

BertTokenizer::BertTokenizer(const std::filesystem::path& path)
    : state_(std::make_unique<State>(read_bert_vocabulary(path))) {}
BertTokenizer::~BertTokenizer() = default;
BertTokenizer::BertTokenizer(BertTokenizer&&) noexcept = default;

int64_t BertTokenizer::vocab_size() const { return state_->vocab_size; }

std::optional<int64_t> BertTokenizer::id_of(const std::string& token) const {
  const auto found = state_->ids.find(token);
  return found == state_->ids.end() ? std::nullopt : std::optional<int64_t>(found->second);
}

std::vector<int64_t> BertTokenizer::encode(const std::string& text) const {
  return state_->encode(replace_invalid_utf8(text));
}

std::vector<int64_t> BertTokenizer::encode(const std::string& text, int64_t max_length) const {
  PIXART_CHECK(max_length >= 2, "max_length {}", max_length);
  std::vector<int64_t> ids = encode(text);
  if (int64_t(ids.size()) > max_length) {
    ids.resize(size_t(max_length));
    ids.back() = state_->end;
  }
  return ids;
}

}  // namespace pixart::text
