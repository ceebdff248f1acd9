// The first words that many captions share: what a captioning model wrote before its caption ("Here is a
// description of the image:"), a template, or a habit ("a photo of"). A text encoder learns them as a part of
// every caption.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixart::data {

// Reported are openings of 3, 5 or 8 words of at least kOpeningShare of the captions, and lead-ins (up to a
// colon or a line break) of at least kLeadInShare; both of at least kFewestWithOpening captions.
constexpr double kOpeningShare = 0.1, kLeadInShare = 0.01, kMostShare = 0.5;
constexpr int64_t kFewestWithOpening = 5;

struct Opening {
  std::string text = {};             // as the caption of the example has it
  std::string example = {};          // the key of a sample
  int64_t captions = 0, listed = 0;  // those that begin so, and all
  bool is_lead_in = false;           // ends in a colon, or at a line break

  double share() const { return listed > 0 ? double(captions) / double(listed) : 0; }
  // Is probably not meant: a lead-in, or the same words in at least kMostShare of the captions.
  bool is_warning() const { return is_lead_in || share() >= kMostShare; }
};
// '6 of 6 captions (100.0 %) begin with "Here is the caption:", as 000.png does. ...'
std::string describe(const Opening& opening);

// Counts the openings of captions of one kind, caption by caption. Letters of ASCII count as lower case, and
// ideographs and kana as words. Memory is bounded (kMost openings of each length, of at most 1 KiB each),
// however many captions there are: counts are exact up to kMost different openings, and after that too low by
// at most one caption in kMost (the summary of Misra and Gries), so nothing that is reported is missed.
class OpeningCounter {
 public:
  static constexpr size_t kMost = 4096;

  void add(std::string_view caption, const std::string& key);
  // At most five, the most frequent first. Of openings that begin alike, the longest that nearly all of their
  // captions share, and of those with a lead-in only that.
  std::vector<Opening> shared() const;
  size_t num_counted() const;  // openings in memory

 private:
  struct Entry {
    std::string text, example;
    int64_t captions = 0;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  // By the opening with single blanks, in lower case.
  using Table = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;
  static void count(Table& table, std::string_view name, std::string_view text, const std::string& key);

  static constexpr std::array<size_t, 3> kWords = {3, 5, 8};
  Table lead_ins_;
  std::array<Table, kWords.size()> openings_;
  int64_t captions_ = 0;
};

}  // namespace pixart::data
