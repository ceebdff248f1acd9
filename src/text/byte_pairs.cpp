#include "byte_pairs.h"

#include <functional>
#include <queue>
#include <tuple>

#include "pixart/base/error.h"
#include "pixart/base/utf8.h"

namespace pixart::text {

namespace {

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

uint64_t key_of(int64_t left, int64_t right) { return uint64_t(left) << 32 | uint64_t(right); }

constexpr int64_t kMostIds = int64_t{1} << 31;

}  // namespace

std::string byte_symbol(uint8_t byte) {
  char32_t code_point = byte;
  if (!is_printable(byte)) {
    code_point = 0x100;
    for (int other = 0; other < byte; ++other) code_point += is_printable(other) ? 0 : 1;
  }
  std::string symbol;
  append_utf8(symbol, code_point);
  return symbol;
}

BytePairs::BytePairs(const ClipVocabulary& vocabulary, const std::string& name) {
  const auto id_of = [&](const std::string& token) {
    const auto found = vocabulary.ids.find(token);
    if (found == vocabulary.ids.end() || found->second < 0 || found->second >= kMostIds)
      throw UserError(
          fmt::format("{}: its vocabulary has no usable token '{}'; it is not one of CLIP, or not complete.",
                      name, token));
    return found->second;
  };
  for (size_t byte = 0; byte < inner_.size(); ++byte) {
    const std::string symbol = byte_symbol(uint8_t(byte));
    inner_[byte] = id_of(symbol);
    last_[byte] = id_of(symbol + std::string(kEndOfWord));
  }
  for (const auto& [left, right] : vocabulary.merges) {
    const auto rank = int64_t(merges_.size());
    merges_.emplace(key_of(id_of(left), id_of(right)), Merge{rank, id_of(left + right)});
  }
}

const BytePairs::Merge* BytePairs::merge_of(int64_t left, int64_t right) const {
  const auto found = merges_.find(key_of(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairs::encode(std::string_view word, std::vector<int64_t>& ids) const {
  if (word.empty()) return;
  constexpr int64_t kGone = -1;
  const size_t count = word.size();
  std::vector<int64_t> tokens(count);
  std::vector<size_t> previous(count), next(count);
  for (size_t i = 0; i < count; ++i) {
    tokens[i] = (i + 1 < count ? inner_ : last_)[uint8_t(word[i])];
    previous[i] = i - 1, next[i] = i + 1;
  }
  using Pair =
      std::tuple<int64_t, size_t, int64_t, int64_t>;  // rank, place, and both tokens when it was added
  std::priority_queue<Pair, std::vector<Pair>, std::greater<>> pairs;
  const auto add = [&](size_t at) {
    if (at >= count || next[at] >= count) return;
    const int64_t left = tokens[at], right = tokens[next[at]];
    if (const auto* merge = merge_of(left, right)) pairs.emplace(merge->rank, at, left, right);
  };
  for (size_t i = 0; i < count; ++i) add(i);
  while (!pairs.empty()) {
    const auto [rank, at, left, right] = pairs.top();
    pairs.pop();
    const size_t second = next[at];
    if (tokens[at] != left || second >= count || tokens[second] != right) continue;  // one of them is gone
    tokens[at] = merge_of(left, right)->result;
    tokens[second] = kGone;
    next[at] = next[second];
    if (next[at] < count) previous[next[at]] = at;
    add(previous[at]);
    add(at);
  }
  for (size_t i = 0; i < count; i = next[i]) ids.push_back(tokens[i]);
}

}  // namespace pixart::text
