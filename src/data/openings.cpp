#include "pixart/data/openings.h"

#include <fmt/format.h>

#include <algorithm>

#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

struct Word {
  size_t begin = 0, end = 0;  // bytes of the caption
  bool ends_line = false;     // another word follows on a later line
};

// Scripts that write no blanks between words: kana and ideographs.
bool is_word_by_itself(std::string_view character) {
  constexpr size_t kFourBytes = 4;  // from U+10000 on; here all are ideographs from U+20000 on
  if (character.size() == kFourBytes) return character >= "\xF0\xA0\x80\x80";
  return character.size() == 3 && ((character >= "\u3041" && character <= "\u30FF") ||
                                   (character >= "\u3400" && character <= "\u9FFF") ||
                                   (character >= "\uF900" && character <= "\uFAFF"));
}

// The complete words at the beginning of a caption, at most 24 of 1 KiB together.
std::vector<Word> first_words(std::string_view caption) {
  constexpr size_t kMostWords = 24, kMostBytes = 1024;
  const std::string_view text = caption.substr(0, kMostBytes);
  std::vector<Word> words;
  bool is_open = false, is_new_line = false;
  for (size_t at = 0, length; at < text.size() && words.size() <= kMostWords; at += length) {
    length = std::max<size_t>(1, utf8_sequence(text, at));
    const auto character = text.substr(at, length);
    if (kBlanks.find(character) != std::string_view::npos) {
      is_open = false;
      is_new_line = is_new_line || character == "\n";
      continue;
    }
    if (!is_open || is_word_by_itself(character)) {
      if (!words.empty()) words.back().ends_line = is_new_line;
      words.push_back({at, at, false});
    }
    is_open = true;
    is_new_line = false;
    words.back().end = at + length;
  }
  const bool is_cut = words.size() > kMostWords || text.size() < caption.size();
  if (is_cut && !words.empty()) words.pop_back();
  return words;
}

bool ends_lead_in(std::string_view caption, const Word& word) {
  std::string_view text = caption.substr(word.begin, word.end - word.begin);
  while (!text.empty() && std::string_view("*_\"'").find(text.back()) != std::string_view::npos)
    text.remove_suffix(1);
  return word.ends_line || text.ends_with(':') || text.ends_with("\uFF1A");
}

// The words with single blanks, in lower case, and where each of them ends in that text.
struct Names {
  std::string text = {};
  std::vector<size_t> ends = {};

  std::string_view of(size_t count) const { return std::string_view(text).substr(0, ends[count - 1]); }
};

Names names_of(std::string_view caption, const std::vector<Word>& words) {
  Names names;
  for (const auto& word : words) {
    if (!names.ends.empty()) names.text += ' ';
    names.text += caption.substr(word.begin, word.end - word.begin);
    names.ends.push_back(names.text.size());
  }
  names.text = ascii_lower(std::move(names.text));
  return names;
}

struct Candidate {
  std::string name;
  Opening opening;
};

bool begins_with(const std::string& name, const std::string& beginning) {
  return name == beginning || name.starts_with(beginning + " ");
}

// Whether the openings that are kept already say what this one would.
bool is_said(const Candidate& candidate, const std::vector<Candidate>& kept) {
  constexpr double kNearlyAll = 0.9;
  int64_t most = 0, with_lead_in = 0;
  for (const auto& [name, opening] : kept) {
    if (opening.is_lead_in && begins_with(candidate.name, name)) return true;
    if (!begins_with(name, candidate.name)) continue;
    most = std::max(most, opening.captions);
    if (opening.is_lead_in) with_lead_in += opening.captions;
  }
  return double(std::max(most, with_lead_in)) >= kNearlyAll * double(candidate.opening.captions);
}

}  // namespace

std::string describe(const Opening& opening) {
  const char* meaning = opening.is_lead_in ? " They look left over from what wrote the captions; remove them."
                        : opening.is_warning()
                            ? " A model learns such words as a part of every caption; remove them unless "
                              "they are meant."
                            : "";
  return fmt::format("{} of {} captions ({:.1f} %) begin with \"{}\", as {} does.{}",
                     with_thousands(opening.captions), with_thousands(opening.listed), 100 * opening.share(),
                     opening.text, opening.example, meaning);
}

void OpeningCounter::count(Table& table, std::string_view name, std::string_view text,
                           const std::string& key) {
  if (const auto found = table.find(name); found != table.end()) {
    ++found->second.captions;
  } else if (table.size() < kMost) {
    table.emplace(name, Entry{std::string(text), key, 1});
  } else {
    for (auto& [other, entry] : table) entry.captions -= 1;
    std::erase_if(table, [](const auto& entry) { return entry.second.captions == 0; });
  }
}

void OpeningCounter::add(std::string_view caption, const std::string& key) {
  ++captions_;
  caption.remove_prefix(std::min(caption.find_first_not_of(kBlanks), caption.size()));
  const auto words = first_words(caption);
  const auto names = names_of(caption, words);
  const auto count_first = [&](Table& table, size_t number) {
    count(table, names.of(number), caption.substr(0, words[number - 1].end), key);
  };
  for (size_t i = 0; i < kWords.size(); ++i)
    if (words.size() >= kWords[i]) count_first(openings_[i], kWords[i]);
  const auto last =
      std::find_if(words.begin(), words.end(), [&](const Word& word) { return ends_lead_in(caption, word); });
  if (last != words.end()) count_first(lead_ins_, size_t(last - words.begin()) + 1);
}

std::vector<Opening> OpeningCounter::shared() const {
  std::vector<Candidate> kept;
  const auto take = [&](const Table& table, bool are_lead_ins) {
    std::vector<Candidate> found;
    for (const auto& [name, entry] : table) {
      const Opening opening{entry.text, entry.example, entry.captions, captions_, are_lead_ins};
      if (opening.captions >= kFewestWithOpening &&
          opening.share() >= (are_lead_ins ? kLeadInShare : kOpeningShare))
        found.push_back({name, opening});
    }
    std::erase_if(found, [&](const Candidate& candidate) { return is_said(candidate, kept); });
    kept.insert(kept.end(), found.begin(), found.end());
  };
  take(lead_ins_, true);
  for (size_t i = kWords.size(); i-- > 0;) take(openings_[i], false);
  std::sort(kept.begin(), kept.end(), [](const Candidate& a, const Candidate& b) {
    return a.opening.captions != b.opening.captions ? a.opening.captions > b.opening.captions
                                                    : a.name < b.name;
  });
  constexpr size_t kMostShown = 5;
  std::vector<Opening> result;
  for (size_t i = 0; i < std::min(kMostShown, kept.size()); ++i) result.push_back(kept[i].opening);
  return result;
}

size_t OpeningCounter::num_counted() const {
  size_t sum = lead_ins_.size();
  for (const auto& table : openings_) sum += table.size();
  return sum;
}

}  // namespace pixart::data
