#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "answer_text.h"

namespace pixart::caption {

namespace {

// Whether the text ends in several copies of one piece. Takes time linear in the tail.
bool has_periodic_tail(std::string_view text) {
  constexpr size_t kTail = 4096, kShortest = 80, kCopies = 4;
  const std::string tail(text.rbegin(), text.rbegin() + std::ptrdiff_t(std::min(text.size(), kTail)));
  std::vector<size_t> border(tail.size(),
                             0);  // of each beginning of the reversed text (Knuth, Morris, Pratt)
  for (size_t i = 1; i < tail.size(); ++i) {
    size_t length = border[i - 1];
    while (length > 0 && tail[i] != tail[length]) length = border[length - 1];
    border[i] = length + (tail[i] == tail[length] ? 1 : 0);
    const size_t size = i + 1, period = size - border[i];
    if (size >= kShortest && size / period >= kCopies) return true;
  }
  return false;
}

bool repeats_a_sentence(std::string_view text) {
  constexpr size_t kShortest = 20;  // bytes
  constexpr int kMost = 3;
  std::map<std::string_view, int> counts;
  while (!text.empty()) {
    const size_t end = text.find_first_of(".!?\n");
    std::string_view sentence = text.substr(0, end);
    while (!sentence.empty() && sentence.front() == ' ') sentence.remove_prefix(1);
    if (sentence.size() >= kShortest && ++counts[sentence] > kMost) return true;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return false;
}

bool has_hardly_any_words(std::string_view text) {
  constexpr size_t kFewest = 100, kMostCopies = 7;  // of each word, on average
  std::set<std::string_view> different;
  size_t words = 0;
  for (size_t at = text.find_first_not_of(" \n"); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    different.insert(text.substr(at, end - at));
    ++words;
    at = text.find_first_not_of(" \n", end);
  }
  return words >= kFewest && words > kMostCopies * different.size();
}

}  // namespace

bool is_loop(const std::string& text) {
  return has_periodic_tail(text) || repeats_a_sentence(text) || has_hardly_any_words(text);
}

}  // namespace pixart::caption
