// The first words that many captions share: what a captioning model wrote before its caption ("Here is a
// description of the image:"), a template, or a habit ("a photo of"). A text encoder learns them as a part of
// every caption.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
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

// The openings of some captions of one kind, in their order: what any thread may find, for OpeningCounter.
class OpeningBlock {
 public:
  void add(std::string_view caption, std::string_view key);

 private:
  friend class OpeningCounter;
  struct Piece {
    size_t begin = 0, bytes = 0;  // in bytes_
  };
  struct Found {
    size_t table = 0, hash = 0;  // hash: of the name
    Piece name, text, key;
  };
  std::string_view of(const Piece& piece) const {
    return std::string_view(bytes_).substr(piece.begin, piece.bytes);
  }

  std::string bytes_;
  std::vector<Found> found_;
  int64_t captions_ = 0;
};

// Counts the openings of captions of one kind, caption by caption. Letters of ASCII count as lower case, and
// ideographs and kana as words. Memory is bounded (kMost openings of each length, of at most 1 KiB each),
// however many captions there are: counts are exact up to kMost different openings, and after that too low by
// at most one caption in kMost (the summary of Misra and Gries), so nothing that is reported is missed.
class OpeningCounter {
 public:
  static constexpr size_t kMost = 4096;

  void add(std::string_view caption, std::string_view key);
  void add_block(const OpeningBlock& block);  // the same as its captions one by one
  // At most five, the most frequent first. Of openings that begin alike, the longest that nearly all of their
  // captions share, and of those with a lead-in only that.
  std::vector<Opening> shared() const;
  size_t num_counted() const;  // openings in memory

 private:
  struct Entry {
    size_t hash = 0;
    std::string name, text, example;  // name: the opening with single blanks, in lower case
    int64_t captions = 0;
  };
  // Entries by their name.
  class Table {
   public:
    void count(const OpeningBlock& block, const OpeningBlock::Found& found);
    size_t size() const { return size_; }
    std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
    std::vector<Entry>::const_iterator end() const { return entries_.begin() + ptrdiff_t(size_); }

   private:
    size_t place_of(std::string_view name, size_t hash) const;
    void lower_all();

    std::vector<Entry> entries_;  // those after size_ keep their memory for later ones
    std::vector<uint16_t> places_;
    size_t size_ = 0;
  };
  // The first table has lead-ins, the others openings of 3, 5 and 8 words.
  std::array<Table, 4> tables_;
  int64_t captions_ = 0;
};

}  // namespace pixart::data
