#include "pixart/data/openings.h"

#include <fmt/format.h>

#include <algorithm>

#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

constexpr size_t kLeadIns = 0;                          // the table of OpeningCounter
constexpr std::array<size_t, 4> kWords = {0, 3, 5, 8};  // of the openings in each table

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

// One of kBlanks.
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The complete words at the beginning of a caption, at most 24 of 1 KiB together.
std::vector<Word> first_words(std::string_view caption) {
  constexpr size_t kMostWords = 24, kMostBytes = 1024;
  const std::string_view text = caption.substr(0, kMostBytes);
  std::vector<Word> words;
  words.reserve(kMostWords + 1);
  bool is_open = false, is_new_line = false;
  for (size_t at = 0, length; at < text.size() && words.size() <= kMostWords; at += length) {
    length = uint8_t(text[at]) < 0x80 ? 1 : std::max<size_t>(1, utf8_sequence(text, at));
    const auto character = text.substr(at, length);
    if (is_blank(text[at])) {
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

void OpeningBlock::add(std::string_view caption, std::string_view key) {
  ++captions_;
  caption.remove_prefix(std::min(caption.find_first_not_of(kBlanks), caption.size()));
  const auto words = first_words(caption);
  const auto lead_in =
      std::find_if(words.begin(), words.end(), [&](const Word& word) { return ends_lead_in(caption, word); });
  const auto with_lead_in = lead_in == words.end() ? 0 : size_t(lead_in - words.begin()) + 1;
  const size_t most = std::max(with_lead_in, std::min(kWords.back(), words.size()));
  if (most < kWords[1] && with_lead_in == 0) return;
  const auto append = [this](std::string_view piece) {
    bytes_ += piece;
    return Piece{bytes_.size() - piece.size(), piece.size()};
  };
  const Piece known = append(key), text = append(caption.substr(0, words[most - 1].end));
  const size_t begin = bytes_.size();
  for (size_t number = 1; number <= most; ++number) {
    const Word& word = words[number - 1];
    const Piece piece = append(caption.substr(word.begin, word.end - word.begin));
    for (size_t i = piece.begin; i < bytes_.size(); ++i)
      if (bytes_[i] >= 'A' && bytes_[i] <= 'Z') bytes_[i] = char(bytes_[i] + 32);
    const Piece name = {begin, piece.begin + piece.bytes - begin};
    const auto find = [&](size_t table) {
      found_.push_back({table, std::hash<std::string_view>()(of(name)), name, {text.begin, word.end}, known});
    };
    for (size_t table = 1; table < kWords.size(); ++table)
      if (number == kWords[table]) find(table);
    if (number == with_lead_in) find(kLeadIns);
    bytes_ += ' ';
  }
}

// The place of the name's entry, or the free one that it would get.
size_t OpeningCounter::Table::place_of(std::string_view name, size_t hash) const {
  const auto is_other = [&](uint16_t number) {
    return number > 0 && (entries_[number - 1u].hash != hash || entries_[number - 1u].name != name);
  };
  size_t place = hash % places_.size();
  while (is_other(places_[place])) place = (place + 1) % places_.size();
  return place;
}

void OpeningCounter::Table::count(const OpeningBlock& block, const OpeningBlock::Found& found) {
  if (places_.empty()) places_.resize(2 * kMost);
  const auto name = block.of(found.name);
  uint16_t& number = places_[place_of(name, found.hash)];
  if (number > 0) {
    ++entries_[number - 1u].captions;
    return;
  }
  if (size_ == kMost) return lower_all();
  if (size_ == entries_.size()) entries_.emplace_back();
  Entry& entry = entries_[size_++];
  entry.hash = found.hash;
  entry.name = name;
  entry.text = block.of(found.text);
  entry.example = block.of(found.key);
  entry.captions = 1;
  number = uint16_t(size_);
}

// Takes a caption from each entry, and removes those without any.
void OpeningCounter::Table::lower_all() {
  for (auto& entry : entries_) entry.captions -= 1;
  const auto kept =
      std::partition(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.captions > 0; });
  size_ = size_t(kept - entries_.begin());
  std::fill(places_.begin(), places_.end(), uint16_t{0});
  for (size_t i = 0; i < size_; ++i) places_[place_of(entries_[i].name, entries_[i].hash)] = uint16_t(i + 1);
}

void OpeningCounter::add_block(const OpeningBlock& block) {
  captions_ += block.captions_;
  for (const auto& found : block.found_) tables_[found.table].count(block, found);
}

void OpeningCounter::add(std::string_view caption, std::string_view key) {
  OpeningBlock block;
  block.add(caption, key);
  add_block(block);
}

std::vector<Opening> OpeningCounter::shared() const {
  std::vector<Candidate> kept;
  const auto take = [&](const Table& table, bool are_lead_ins) {
    std::vector<Candidate> found;
    for (const auto& entry : table) {
      const Opening opening{entry.text, entry.example, entry.captions, captions_, are_lead_ins};
      if (opening.captions >= kFewestWithOpening &&
          opening.share() >= (are_lead_ins ? kLeadInShare : kOpeningShare))
        found.push_back({entry.name, opening});
    }
    std::erase_if(found, [&](const Candidate& candidate) { return is_said(candidate, kept); });
    kept.insert(kept.end(), found.begin(), found.end());
  };
  take(tables_[kLeadIns], true);
  for (size_t i = kWords.size(); i-- > kLeadIns + 1;) take(tables_[i], false);
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
  size_t sum = 0;
  for (const auto& table : tables_) sum += table.size();
  return sum;
}

}  // namespace pixart::data
